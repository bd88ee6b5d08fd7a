/*
 * rate.h: how many contacts the agent sends a second while more wait to be sent: a moving average
 * of about a minute. The line owns it; outcome.c counts, sync.c tells when contacts wait.
 */
#ifndef AGENT_RATE_H
#define AGENT_RATE_H

#include <stdbool.h>

/* All zero: nothing was sent yet. */
typedef struct rate {
    double contacts; /* sent while contacts waited; older ones count less */
    double busy_s;   /* in this time, weighted in the same way */
    double turn_s;   /* monotonic: the last turn */
    double last_s;   /* when contacts waited last */
    bool is_busy;    /* contacts have been waiting since the last turn */
} rate;

/* Acoustic has accepted a contact's main row. */
void rate_note_contact(rate *r);
/* Called at the end of each turn. is_busy: contacts wait to be sent. */
void rate_note_turn(rate *r, bool is_busy, double now_s);
/* 0: not known, because nothing had to wait lately. */
double rate_per_second(const rate *r, double now_s);

#endif
