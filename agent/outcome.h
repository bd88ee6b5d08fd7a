/*
 * outcome.h: acts on the answer to a call: places its contacts and rows in the line, and has the
 * outcomes of contacts written. send.c and sync.c call it.
 */
#ifndef AGENT_OUTCOME_H
#define AGENT_OUTCOME_H

#include "agent/line.h"

/* Owns the call from here on. */
void outcome_take_answer(call *k, const http_client_answer *http);

/* Gives all known outcomes to the queue to write, if the queue can take them now. */
void outcome_settle_all(struct line *l);

#endif
