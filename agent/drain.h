/*
 * drain.h: empties the line at the end of the program: what is half done is completed, the rest
 * given back.
 */
#ifndef AGENT_DRAIN_H
#define AGENT_DRAIN_H

#include "agent/line.h"

/* Once. Sets the deadline. */
void drain_begin(struct line *l);
/* Part of each turn: ends the event loop when the line is empty. */
void drain_turn(struct line *l);
/* Of the event line.deadline. */
void drain_on_deadline(evutil_socket_t fd, short what, void *arg);

#endif
