/*
 * stop.h: stops the line when no contact can be sent, and lets it run again. outcome.c, claim.c and
 * sync.c call it.
 */
#ifndef AGENT_STOP_H
#define AGENT_STOP_H

#include "agent/line.h"

/* Stops the line: nothing is sent for a while, then one request at a time. k is the call that
 * failed. */
void stop_begin(struct line *l, failure_class class, const call *k, const char *why);
/* A call succeeded: the line may run again. */
void stop_note_success(struct line *l, const call *k);
/* A claim found nothing. If there is no contact to try, nothing is kept from Acoustic: the line
 * runs, until the next contact is refused. Another agent may have sent what was refused here. */
void stop_note_nothing_waits(struct line *l);
/* Shows in the metrics whether the line is stopped. */
void stop_show(const struct line *l);

#endif
