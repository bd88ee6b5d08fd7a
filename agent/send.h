/*
 * send.h: sends from the line: decides what is sent next, and makes requests of it. An answer goes
 * to outcome.c.
 */
#ifndef AGENT_SEND_H
#define AGENT_SEND_H

#include "agent/line.h"

/* Sends as much as may be sent now. */
void send_all(struct line *l);
/* Nothing may be sent just now, whatever waits. */
bool send_is_held_back(const struct line *l);
/* More is to be sent at once than we have slots for. */
bool send_is_short_of_slots(const struct line *l);
/* When send_all() could send more without anything else happening; 0: never. */
double send_next_due_s(const struct line *l);

#endif
