/*
 * auth/secret_pace.h: how long the refusal of a secret waits, so that those who guess do not ask
 * faster than the threads can check. secret_check.c asks.
 *
 * Refusals may use a part of the threads' time: those of one address a quarter of it, all together
 * half of it. The first few are free. What goes beyond waits. Only refusals wait: who has the right
 * secret never does, whatever others do at the same address.
 */
#ifndef CTMS_REST_AUTH_SECRET_PACE_H
#define CTMS_REST_AUTH_SECRET_PACE_H

#include <stdint.h>

/* Addresses are counted in slots; two that share one wait for each other. */
#define SECRET_PACE_SLOTS 16384
/* A refusal waits this long at most. */
#define SECRET_PACE_WAIT_MAX_S 20.0

/* Zero it, except for: */
typedef struct secret_pace {
    int threads;
    uint64_t seed; /* random */
    double all_paid_s;
    struct {
        double paid_s; /* when the work for an address will have been paid for */
        double last_s;
    } slots[SECRET_PACE_SLOTS];
} secret_pace;

/* work_s: time of a thread that the check took. Returns the seconds that the refusal waits. */
double secret_pace_charge(secret_pace *pace, const char *address, double work_s, double now_s);
/* When a check for the address began that was not for a right secret; 0: not lately. */
double secret_pace_last_s(const secret_pace *pace, const char *address, double now_s);
void secret_pace_set_last_s(secret_pace *pace, const char *address, double last_s);

#endif
