/*
 * hold.h: slots of requests that we no longer wait for, but that Acoustic may still be at work on:
 * each is held until a time. share.c owns them.
 */
#ifndef AGENT_HOLD_H
#define AGENT_HOLD_H

/* All zero: none. */
typedef struct holds {
    double *ends_s; /* monotonic, in no order */
    int count;
    int size;
} holds;

/* Holds as many slots until then. */
void hold_add(holds *h, int count, double until_s);
/* Forgets those that have ended; returns how many are left. */
int hold_count(holds *h, double now_s);
/* When the first and the last of them end; 0: there is none. */
double hold_first_end_s(const holds *h);
double hold_last_end_s(const holds *h);
void hold_free(holds *h);

#endif
