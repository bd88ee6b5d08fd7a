/*
 * outcome.h: what follows from the answer to a call: places its contacts and rows in the line, and
 * has what became of contacts written.
 */
#ifndef AGENT_OUTCOME_H
#define AGENT_OUTCOME_H

#include "agent/line.h"

/* Takes the call over. */
void outcome_take_answer(call *k, const http_client_answer *http);

/* Has the outcomes that are known written to the queue, if it can take them now. */
void outcome_settle_all(struct line *l);

#endif
