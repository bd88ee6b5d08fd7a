/*
 * pace.h: how many requests may be in flight now.
 *
 * Additive increase, multiplicative decrease, as TCP does it: trouble halves the window and
 * makes all wait, longer each time, then one request at a time tries; each success opens
 * the window a little. Any success ends the waiting: one odd answer does not stop others.
 */
#ifndef AGENT_PACE_H
#define AGENT_PACE_H

#include <stdbool.h>

typedef struct pace {
    double window;
    double paused_until_s; /* monotonic; 0: not paused */
    double decreased_at_s;
    double last_success_s;
    int troubles; /* in a row, without a success between */
} pace;

void pace_init(pace *p, int limit);
/* How many may be in flight, at most limit. */
int pace_allowed(const pace *p, int limit, double now_s);
/* Seconds until the pause ends; 0 when there is none. */
double pace_wait_s(const pace *p, double now_s);
void pace_note_success(pace *p, int limit, double now_s);
/* started_s: when the request that met trouble was sent. is_news: false when it was about what
 * has met trouble before; then the wait grows no longer. */
void pace_note_trouble(pace *p, bool is_news, double started_s, double now_s);
/* The service has answered well since then. */
bool pace_is_healthy_since(const pace *p, double then_s);

#endif
