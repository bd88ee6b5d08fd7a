/*
 * outcome.h: what follows from the answer to a call: places its contacts and rows in the line.
 */
#ifndef AGENT_OUTCOME_H
#define AGENT_OUTCOME_H

#include "agent/line.h"

/* Takes the call over. */
void outcome_take_answer(call *k, const http_client_answer *http);

#endif
