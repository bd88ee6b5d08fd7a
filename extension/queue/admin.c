/*
 * queue/admin.c: the SQL functions with which operators change the queue.
 */
#include "extension/base/compat.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "extension/queue/enqueue.h"
#include "extension/queue/give_way.h"
#include "extension/queue/plan.h"
#include "extension/queue/relations.h"
#include "extension/queue/wake.h"

/* How many rows one call of ctms.cancel_acoustic() removes at most. */
#define MAX_CANCELLED 100000

PG_FUNCTION_INFO_V1(ctms_enqueue_contacts);
PG_FUNCTION_INFO_V1(ctms_reset_acoustic_retries);
PG_FUNCTION_INFO_V1(ctms_cancel_acoustic);

/*
 * $1: the contacts, or null for all. A plan for both cases could not find the contacts by their
 * key, so there are two.
 */
#define PLANS(SQL)                                                                                 \
    {                                                                                              \
        PLAN(SQL(" AND email_id = ANY ($1)")), PLAN(SQL(" AND $1 IS NULL"))                        \
    }
#define PLAN(statement)                                                                            \
    {                                                                                              \
        .sql = statement, .arg_count = 1, .arg_types = { UUIDARRAYOID }                            \
    }

/* What a file of contacts holds (queue/bulk.c) waits for the end of its run, and is left alone. */
#define FAILED_SQL(table, which)                                                                   \
    "SELECT email_id FROM " table " WHERE (retry > 0 OR retry_after IS NOT NULL)"                  \
    " AND (retry_after = lease_until) IS NOT TRUE" which
#define RESET_TABLE_SQL(table, which)                                                              \
    "WITH failed AS MATERIALIZED (" FAILED_SQL(                                                    \
        table, which) " ORDER BY email_id FOR UPDATE SKIP LOCKED)"                                 \
                      "UPDATE " table " AS p SET retry = 0, retry_after = NULL, last_error = NULL" \
                      " FROM failed WHERE p.email_id = failed.email_id"

#define RESET_SQL(which) RESET_TABLE_SQL("ctms.pending_acoustic", which)
#define RESET_DELETED_SQL(which) RESET_TABLE_SQL("ctms.acoustic_deleted_contact", which)
/* A deletion that was given up is dropped, not tried again, when the contact exists again. */
#define DROP_DELETED_SQL(which)                                                                    \
    "WITH dropped AS MATERIALIZED ("                                                               \
    " SELECT email_id FROM ctms.acoustic_deleted_contact AS d"                                     \
    " JOIN ctms.emails AS e USING (email_id)"                                                      \
    " WHERE d.retry_after = 'infinity'" which " FOR UPDATE OF d SKIP LOCKED)"                      \
    "DELETE FROM ctms.acoustic_deleted_contact AS d USING dropped"                                 \
    " WHERE d.email_id = dropped.email_id"
/* A row that should have been reset or dropped. It was passed over, because it has still failed. */
#define PASSED_RESET_SQL(which) FAILED_SQL("ctms.pending_acoustic", which) " LIMIT 1"
#define PASSED_RESET_DELETED_SQL(which)                                                            \
    FAILED_SQL("ctms.acoustic_deleted_contact", which) " LIMIT 1"

static QueuePlan reset_plans[2] = PLANS(RESET_SQL);
static QueuePlan drop_deleted_plans[2] = PLANS(DROP_DELETED_SQL);
static QueuePlan reset_deleted_plans[2] = PLANS(RESET_DELETED_SQL);
static QueuePlan passed_reset_plans[2] = PLANS(PASSED_RESET_SQL);
static QueuePlan passed_reset_deleted_plans[2] = PLANS(PASSED_RESET_DELETED_SQL);

/*
 * A contact that an operator enqueues is always sent, even if it has not changed since it was
 * last sent. One that is being deleted has lost this row already, and is not waited for.
 */
static QueuePlan forget_sent_plan = {
    .sql = "WITH sent AS MATERIALIZED ("
           " SELECT email_id FROM ctms.acoustic_sent WHERE email_id = ANY ($1)"
           " FOR UPDATE SKIP LOCKED)"
           "DELETE FROM ctms.acoustic_sent AS s USING sent WHERE s.email_id = sent.email_id",
    .arg_count = 1,
    .arg_types = {UUIDARRAYOID}};

/*
 * What no agent holds of the bulk lane. A contact that was claimed before may have reached Acoustic
 * in any state. Its row in the queue says so, so when that is gone, what is remembered as sent must
 * go, too.
 */
#define IS_FREE_BULK "is_bulk AND (lease_until IS NULL OR lease_until <= $1)"
#define CANCEL_SQL(condition)                                                                      \
    "WITH cancelled AS MATERIALIZED ("                                                             \
    " SELECT email_id, is_tried FROM ctms.pending_acoustic"                                        \
    " WHERE " IS_FREE_BULK condition " LIMIT $2 FOR UPDATE SKIP LOCKED),"                          \
    "forgotten AS ("                                                                               \
    " DELETE FROM ctms.acoustic_sent AS s USING cancelled AS c"                                    \
    " WHERE c.is_tried AND s.email_id = c.email_id)"                                               \
    "DELETE FROM ctms.pending_acoustic AS p USING cancelled AS c WHERE p.email_id = c.email_id"
#define PASSED_CANCEL_SQL(condition)                                                               \
    "SELECT email_id FROM ctms.pending_acoustic WHERE " IS_FREE_BULK condition " LIMIT 1"
#define AMONG " AND email_id = ANY ($3)"
#define CANCEL_PLAN(statement)                                                                     \
    {                                                                                              \
        .sql = statement, .arg_count = 3, .arg_types = { TIMESTAMPTZOID, INT8OID, UUIDARRAYOID }   \
    }

static QueuePlan cancel_all_plan = CANCEL_PLAN(CANCEL_SQL(""));
static QueuePlan cancel_plan = CANCEL_PLAN(CANCEL_SQL(AMONG));
static QueuePlan passed_cancel_all_plan = CANCEL_PLAN(PASSED_CANCEL_SQL(""));
static QueuePlan passed_cancel_plan = CANCEL_PLAN(PASSED_CANCEL_SQL(AMONG));

/* Keys that would bring contacts of a wave back: all, or those that are contacts. */
#define CANCEL_LEFT_SQL(condition)                                                                 \
    "WITH cancelled AS MATERIALIZED ("                                                             \
    " SELECT kind, key FROM ctms.stripe_unresolved WHERE is_bulk" condition                        \
    " FOR UPDATE SKIP LOCKED)"                                                                     \
    "DELETE FROM ctms.stripe_unresolved AS u USING cancelled AS c"                                 \
    " WHERE u.kind = c.kind AND u.key = c.key"

static QueuePlan cancel_left_plan = CANCEL_PLAN(CANCEL_LEFT_SQL(""));
static QueuePlan cancel_left_contacts_plan =
    CANCEL_PLAN(CANCEL_LEFT_SQL(" AND kind = 'contact' AND key = ANY ($3::text[])"));

static char *
lane_argument(FunctionCallInfo fcinfo, int argument)
{
    return PG_ARGISNULL(argument) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(argument));
}

/* ctms.enqueue_contacts(email_ids, lane) → how many contacts there were */
Datum
ctms_enqueue_contacts(PG_FUNCTION_ARGS)
{
    FeedKeys contacts;
    Lane lane = lane_from_text("lane", lane_argument(fcinfo, 1));
    uint64 enqueued;

    if (PG_ARGISNULL(0))
        PG_RETURN_NULL();
    /* The executor would check this, but the rows are written below it. */
    PreventCommandIfReadOnly("ctms.enqueue_contacts()");
    feed_keys_from_array(PG_GETARG_ARRAYTYPE_P(0), &contacts);
    enqueued = enqueue_contacts(&contacts, &lane);
    if (queue_is_table_used(queue_relations()->sent)) {
        SPI_connect();
        queue_run_plan(&forget_sent_plan, (Datum[]){PG_GETARG_DATUM(0)}, NULL, SPI_OK_DELETE);
        SPI_finish();
    }
    if (enqueued > 0)
        wake_agents();
    PG_RETURN_INT64(enqueued);
}

typedef struct Reset {
    Datum *args;
    const char *nulls;
    uint64 count;
} Reset;

static void
reset_rows(void *arg, PassedRow *passed)
{
    Reset *reset = arg;
    bool are_all = reset->nulls != NULL;

    reset->count = queue_run_plan(&reset_plans[are_all], reset->args, reset->nulls, SPI_OK_UPDATE);
    give_way_find_passed(passed, false, &passed_reset_plans[are_all], reset->args, reset->nulls);
    if (!queue_is_table_used(queue_relations()->deleted_contacts))
        return;
    queue_run_plan(&drop_deleted_plans[are_all], reset->args, reset->nulls, SPI_OK_DELETE);
    reset->count +=
        queue_run_plan(&reset_deleted_plans[are_all], reset->args, reset->nulls, SPI_OK_UPDATE);
    give_way_find_passed(passed, true, &passed_reset_deleted_plans[are_all], reset->args,
                         reset->nulls);
}

/* ctms.reset_acoustic_retries(email_ids) → rows reset; null means all */
Datum
ctms_reset_acoustic_retries(PG_FUNCTION_ARGS)
{
    Datum args[1] = {PG_GETARG_DATUM(0)};
    Reset reset = {.args = args, .nulls = PG_ARGISNULL(0) ? "n" : NULL};

    SPI_connect();
    give_way_do(reset_rows, &reset);
    SPI_finish();
    if (reset.count > 0)
        wake_agents();
    PG_RETURN_INT64(reset.count);
}

typedef struct Cancel {
    Datum args[3];
    bool are_all;
    uint64 limit;
    uint64 count;
} Cancel;

static void
cancel_rows(void *arg, PassedRow *passed)
{
    Cancel *cancel = arg;
    const char *nulls = cancel->are_all ? "  n" : NULL;

    cancel->args[0] = TimestampTzGetDatum(GetCurrentTimestamp());
    cancel->count = queue_run_plan(cancel->are_all ? &cancel_all_plan : &cancel_plan, cancel->args,
                                   nulls, SPI_OK_DELETE);
    queue_run_plan(cancel->are_all ? &cancel_left_plan : &cancel_left_contacts_plan, cancel->args,
                   nulls, SPI_OK_DELETE);
    if (cancel->count < cancel->limit)
        give_way_find_passed(passed, false,
                             cancel->are_all ? &passed_cancel_all_plan : &passed_cancel_plan,
                             cancel->args, nulls);
}

/* ctms.cancel_acoustic(email_ids, batch_limit) → rows of the bulk lane removed; null means any */
Datum
ctms_cancel_acoustic(PG_FUNCTION_ARGS)
{
    Cancel cancel = {.are_all = PG_ARGISNULL(0)};

    if (PG_ARGISNULL(1) || PG_GETARG_INT32(1) < 1 || PG_GETARG_INT32(1) > MAX_CANCELLED)
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                errmsg("argument \"%s\" must be between 1 and %d", "batch_limit", MAX_CANCELLED));
    PreventCommandIfReadOnly("ctms.cancel_acoustic()");
    cancel.limit = PG_GETARG_INT32(1);
    cancel.args[1] = Int64GetDatum(cancel.limit);
    cancel.args[2] = PG_GETARG_DATUM(0);
    SPI_connect();
    give_way_do(cancel_rows, &cancel);
    SPI_finish();
    PG_RETURN_INT64(cancel.count);
}
