/*
 * queue/give_way.h: locks queue rows for agents and operators so that no writer's statement is
 * ever cancelled because of them.
 */
#ifndef CTMS_QUEUE_GIVE_WAY_H
#define CTMS_QUEUE_GIVE_WAY_H

#include "postgres.h"

#include "utils/uuid.h"

#include "extension/queue/plan.h"

/* A row that was passed over, because another transaction holds it. */
typedef struct PassedRow {
    bool is_any;
    bool is_deletion; /* of ctms.acoustic_deleted_contact, not of the queue */
    pg_uuid_t email_id;
} PassedRow;

/*
 * Locks rows with SKIP LOCKED and changes them. Looks for a row that was passed over with
 * give_way_find_passed(). May be called several times with the same argument: what an earlier call
 * has done is undone then.
 */
typedef void (*GiveWayWork)(void *arg, PassedRow *passed);

/* Does the work, between SPI_connect() and SPI_finish(). Afterwards it is done once. */
extern void give_way_do(GiveWayWork work, void *arg);

/*
 * The same, but leaves what others hold. It waits for nothing, so it may follow other work of the
 * transaction that has locked rows.
 */
extern void give_way_try(GiveWayWork work, void *arg);

/* Sets *passed to the email_id that the statement returns, if it returns one and none is set yet.
 */
extern void give_way_find_passed(PassedRow *passed, bool is_deletion, QueuePlan *plan, Datum *args,
                                 const char *nulls);

/*
 * SKIP LOCKED can still wait (queue/direct_claim.c): for a session that itself waits for rows of
 * this one. From here to AtEOXact_GUC(true, level) such a wait ends with an error before the
 * server looks for a deadlock and cancels one of the two. Returns the level.
 */
extern int give_way_limit_waits(void);

#endif
