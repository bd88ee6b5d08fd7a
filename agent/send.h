/*
 * send.h: sends from the line: decides what to send next, and makes requests of it. sync.c calls
 * it; answers go to outcome.c.
 */
#ifndef AGENT_SEND_H
#define AGENT_SEND_H

#include "agent/line.h"

/* Sends as much as is allowed now. */
void send_all(struct line *l);
/* Nothing may be sent now, even if something waits. */
bool send_is_held_back(const struct line *l);
/* More should be sent at the same time than there are slots for. */
bool send_is_short_of_slots(const struct line *l);
/* The time at which send_all() can send more even if nothing else happens; 0: never. */
double send_next_due_s(const struct line *l);

#endif
