/*
 * queue_plan.c: prepares the queue's statements once, and runs them as their owner.
 *
 * Whoever may change a contact may not necessarily write the queue, and resolves operators
 * by a search_path of his own: the feed does neither with his.
 */
#include "compat.h"

#include "catalog/pg_class.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "queue_plan.h"
#include "queue_relations.h"

/*
 * Makes the planner go by index, row by row, whatever statistics say: the plans are made
 * when tables are empty or the queue is, and must still be right when it holds a million.
 * What has no index gets a forbidding cost then, which must not have it compiled.
 */
static int
prefer_indexes(void)
{
    static const char *const avoided[] = {"enable_seqscan", "enable_bitmapscan", "enable_hashjoin",
                                          "enable_mergejoin", "jit"};
    int level = NewGUCNestLevel();

    for (size_t i = 0; i < lengthof(avoided); i++)
        set_config_option(avoided[i], "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
                          false);
    return level;
}

bool
ctms_is_plan_ready(const QueuePlan *plan)
{
    return plan->plan && plan->is_planned && SPI_plan_is_valid(plan->plan);
}

uint64
ctms_run_queue_plan(QueuePlan *plan, Datum *args, const char *nulls, int expected)
{
    bool is_planned = ctms_is_plan_ready(plan);
    int level = is_planned ? 0 : prefer_indexes();
    int result;

    if (!plan->plan) {
        /* Arrays are of any length: a plan of its own for each would never pay. */
        SPIPlanPtr prepared = SPI_prepare_cursor(plan->sql, plan->arg_count, plan->arg_types,
                                                 CURSOR_OPT_GENERIC_PLAN);

        if (!prepared)
            elog(ERROR, "could not prepare a statement of the queue: %s",
                 SPI_result_code_string(SPI_result));
        SPI_keepplan(prepared);
        plan->plan = prepared;
    }
    result = SPI_execute_plan(plan->plan, args, nulls, plan->is_read_only, 0);
    if (result != expected)
        elog(ERROR, "unexpected result of a statement of the queue: %s",
             SPI_result_code_string(result));
    plan->is_planned = true;
    if (!is_planned)
        AtEOXact_GUC(true, level);
    return SPI_processed;
}

void
ctms_start_queue_sql(QueueOwner *saved)
{
    HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(ctms_queue_relations()->queue));
    Oid owner;

    if (!HeapTupleIsValid(tuple))
        elog(ERROR, "cache lookup failed for the queue");
    owner = ((Form_pg_class)GETSTRUCT(tuple))->relowner;
    ReleaseSysCache(tuple);
    GetUserIdAndSecContext(&saved->user, &saved->security_context);
    SetUserIdAndSecContext(owner, saved->security_context | SECURITY_LOCAL_USERID_CHANGE);
    saved->search_path = ctms_pin_search_path();
    PushActiveSnapshot(GetTransactionSnapshot());
    SPI_connect();
}

void
ctms_end_queue_sql(const QueueOwner *saved)
{
    SPI_finish();
    PopActiveSnapshot();
    ctms_unpin_search_path(saved->search_path);
    SetUserIdAndSecContext(saved->user, saved->security_context);
}
