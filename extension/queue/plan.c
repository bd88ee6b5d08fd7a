/*
 * queue/plan.c: prepares the statements of the queue once, and runs them as the owner of the
 * queue.
 *
 * A user who may change a contact does not necessarily have the right to write the queue. The
 * search_path of that user could also change which operators the statements find. So the feed
 * uses neither the user's rights nor the user's search_path.
 */
#include "extension/base/compat.h"

#include "catalog/pg_class.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "extension/base/kept_plan.h"
#include "extension/queue/plan.h"
#include "extension/queue/relations.h"

uint64
queue_run_plan(QueuePlan *plan, Datum *args, const char *nulls, int expected)
{
    int level = kept_plan_is_ready(plan->plan) ? 0 : kept_plan_prefer(KEPT_PLAN_ROW_BY_ROW);
    uint64 count;

    kept_plan_prepare(&plan->plan, plan->sql, plan->arg_count, plan->arg_types);
    count = kept_plan_execute(plan->plan, args, nulls, plan->is_read_only, expected);
    if (level > 0)
        AtEOXact_GUC(true, level);
    return count;
}

void
queue_start_sql(QueueOwner *saved)
{
    HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(queue_relations()->queue));
    Oid owner;

    if (!HeapTupleIsValid(tuple))
        elog(ERROR, "cache lookup failed for the queue");
    owner = ((Form_pg_class)GETSTRUCT(tuple))->relowner;
    ReleaseSysCache(tuple);
    GetUserIdAndSecContext(&saved->user, &saved->security_context);
    SetUserIdAndSecContext(owner, saved->security_context | SECURITY_LOCAL_USERID_CHANGE);
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
    SetUserIdAndSecContext(saved->user, saved->security_context);
}
