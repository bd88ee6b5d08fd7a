/*
 * queue/wake.h: tells waiting agents about new work.
 */
#ifndef CTMS_QUEUE_WAKE_H
#define CTMS_QUEUE_WAKE_H

#include "postgres.h"

/*
 * For a claim that found nothing: records that an agent waits from now on. It then waits a moment
 * for transactions that are just committing, because they may not know yet that an agent waits.
 * Returns true when the claim must look again for this reason; false when an agent was waiting
 * already.
 */
extern bool wake_arm_agent(void);

/*
 * Wakes the waiting agents, if any, when the transaction commits. They no longer count as waiting
 * from now on.
 */
extern void wake_agents(void);

/* Notifies, if wake_agents() found that it must. Called when the transaction commits. */
extern void wake_notify(void);

/*
 * Makes the agents count as waiting again, so that the next change wakes them. Called when the
 * transaction is prepared, because then it cannot notify.
 */
extern void wake_leave_waiting(void);

/* Called when the transaction has ended. */
extern void wake_forget(void);

#endif
