/*
 * queue/plan.c: prepares the statements of the queue once, and runs them as the owner of the
 * queue.
 *
 * A user who may change a contact does not necessarily have the right to write the queue. The
 * search_path of that user could also change which operators the statements find. So the feed
 * uses neither the user's rights nor the user's search_path.
 */
#include "extension/base/compat.h"

#include "access/xact.h"
#include "catalog/pg_class.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "extension/base/kept_plan.h"
#include "extension/base/subtransaction.h"
#include "extension/queue/plan.h"
#include "extension/queue/relations.h"

/* How often a statement is tried that meets rows which were written since its snapshot. */
#define MAX_TRIES 100

typedef struct LatestRun {
    QueuePlan *plan;
    Datum *args;
    const char *nulls;
    int result;
    uint64 processed;
} LatestRun;

static bool
run_once(void *arg)
{
    LatestRun *run = arg;
    Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());

    run->result = SPI_execute_snapshot(run->plan->plan, run->args, run->nulls, snapshot,
                                       InvalidSnapshot, false, true, 0);
    run->processed = SPI_processed;
    UnregisterSnapshot(snapshot);
    return true;
}

/*
 * As foreign key checks do: what the feed reads is no part of what the transaction reads, and it
 * must not fail because of what others did since the transaction's snapshot. At these isolation
 * levels the executor raises an error where it would go on at READ COMMITTED. ON CONFLICT raises
 * one at each level when another session inserts the same row at the same moment and an index that
 * it does not know notices it first: one that REINDEX builds, or an exclusion constraint of others.
 */
static uint64
run_with_latest(QueuePlan *plan, Datum *args, const char *nulls, int expected)
{
    static const int raced[] = {ERRCODE_T_R_SERIALIZATION_FAILURE, ERRCODE_UNIQUE_VIOLATION,
                                ERRCODE_EXCLUSION_VIOLATION, 0};
    LatestRun run = {.plan = plan, .args = args, .nulls = nulls};

    for (int i = 1; !subtransaction_try(run_once, &run, i < MAX_TRIES ? raced : NULL); i++)
        CHECK_FOR_INTERRUPTS();
    if (run.result != expected)
        elog(ERROR, "unexpected result of a statement: %s", SPI_result_code_string(run.result));
    return run.processed;
}

uint64
queue_run_plan(QueuePlan *plan, Datum *args, const char *nulls, int expected)
{
    kept_plan_prepare_by(&plan->plan, KEPT_PLAN_ROW_BY_ROW, plan->sql, plan->arg_count,
                         plan->arg_types);
    if (plan->sees_latest && (plan->is_retried || IsolationUsesXactSnapshot()))
        return run_with_latest(plan, args, nulls, expected);
    return kept_plan_execute(plan->plan, args, nulls, plan->is_read_only, expected);
}

bool
queue_become_owner_of(Oid relation, QueueOwner *saved)
{
    HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
    Oid owner;

    if (!HeapTupleIsValid(tuple))
        return false;
    owner = ((Form_pg_class)GETSTRUCT(tuple))->relowner;
    ReleaseSysCache(tuple);
    GetUserIdAndSecContext(&saved->user, &saved->security_context);
    SetUserIdAndSecContext(owner, saved->security_context | SECURITY_LOCAL_USERID_CHANGE |
                                      SECURITY_NOFORCE_RLS);
    return true;
}

void
queue_become_owner(QueueOwner *saved)
{
    if (!queue_become_owner_of(queue_relations()->queue, saved))
        elog(ERROR, "cache lookup failed for the queue");
}

void
queue_restore_user(const QueueOwner *saved)
{
    SetUserIdAndSecContext(saved->user, saved->security_context);
}

void
queue_start_sql(QueueOwner *saved)
{
    queue_become_owner(saved);
    saved->search_path = compat_pin_search_path();
    PushActiveSnapshot(GetTransactionSnapshot());
    SPI_connect();
}

void
queue_end_sql(const QueueOwner *saved)
{
    SPI_finish();
    PopActiveSnapshot();
    compat_unpin_search_path(saved->search_path);
    queue_restore_user(saved);
}
