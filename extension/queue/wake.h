/*
 * queue/wake.h: does an agent wait to be told of work?
 */
#ifndef CTMS_QUEUE_WAKE_H
#define CTMS_QUEUE_WAKE_H

#include "postgres.h"

/*
 * For a claim that found nothing. Says that an agent waits from now on; returns whether the
 * claim has to look again, because transactions may have committed without knowing it:
 * those that were in the middle of it are given a moment first. False when an agent was
 * waiting already.
 */
extern bool wake_arm_agent(void);

/* Wakes the waiting agents, if any, when the transaction commits: they wait no more. */
extern void wake_agents(void);

#endif
