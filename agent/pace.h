/*
 * pace.h: how many requests may be in flight now. send.c asks it; outcome.c tells it about answers.
 *
 * It works like TCP: additive increase, multiplicative decrease. Trouble halves the window and
 * pauses all requests, longer each time. After the pause one request at a time is tried. Each
 * success opens the window a little. Any success ends the pause, so one odd answer does not stop
 * the others.
 */
#ifndef AGENT_PACE_H
#define AGENT_PACE_H

#include <stdbool.h>

typedef struct pace {
    double window;
    double paused_until_s; /* monotonic; 0: not paused */
    double decreased_at_s;
    double last_success_s;
    int troubles; /* in a row, without a success in between */
} pace;

void pace_init(pace *p, int limit);
/* How many requests may be in flight, at most limit. */
int pace_allowed(const pace *p, int limit, double now_s);
/* Seconds until the pause ends; 0 when there is none. */
double pace_wait_s(const pace *p, double now_s);
void pace_note_success(pace *p, int limit, double now_s);
/* started_s: when the request that met trouble was sent. is_news: false if its contact had failed
 * before; then the next pause is not longer. */
void pace_note_trouble(pace *p, bool is_news, double started_s, double now_s);
/* True if a request has succeeded since then. */
bool pace_is_healthy_since(const pace *p, double then_s);

#endif
