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
 * Wakes the waiting agents, if any, when the transaction commits. After that they no longer count
 * as waiting. A transaction that is prepared wakes nobody.
 */
extern void wake_agents(void);

/* Must be called before the transaction commits, but not before it is prepared. */
extern void wake_at_commit(void);

/* Must be called when the transaction, or the current subtransaction, has ended. */
extern void wake_forget(void);
extern void wake_end_subtransaction(bool is_commit);

#endif
