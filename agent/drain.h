/*
 * drain.h: empties the line at the end of the program: contacts that are half sent are completed,
 * all others are given back. sync.c calls it.
 */
#ifndef AGENT_DRAIN_H
#define AGENT_DRAIN_H

#include "agent/line.h"

/* How long the agent may take to stop. */
double drain_limit_s(const agent_settings *settings);
/* Begins to drain and sets the deadline. Called once. */
void drain_begin(struct line *l);
/* Part of each turn: ends the event loop when the line is empty. */
void drain_turn(struct line *l);
/* Callback of the event line.deadline. */
void drain_on_deadline(evutil_socket_t fd, short what, void *arg);

#endif
