/*
 * stop.h: stops the line when nobody's contacts can be sent, and lets it run again.
 */
#ifndef AGENT_STOP_H
#define AGENT_STOP_H

#include "agent/line.h"

/* Stops the line: nothing is sent for a while, then one request at a time. k: the call that
 * brought it about. */
void stop_begin(struct line *l, failure_class class, const call *k, const char *why);
/* A call went well: perhaps the line can run again. */
void stop_note_success(struct line *l, const call *k);
/* Shows in the metrics whether the line stands still. */
void stop_show(const struct line *l);

#endif
