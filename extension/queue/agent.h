/*
 * queue/agent.h: the functions that sending agents call.
 */
#ifndef CTMS_QUEUE_AGENT_H
#define CTMS_QUEUE_AGENT_H

/* Raises an error unless the retry limit is at least 1. */
extern void queue_check_retry_limit(int retry_limit);

#endif
