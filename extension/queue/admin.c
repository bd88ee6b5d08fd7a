/*
 * queue/admin.c: the SQL functions with which operators and health checks look at the queue and
 * change it.
 */
#include "extension/base/compat.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"

#include "extension/queue/enqueue.h"
#include "extension/queue/give_way.h"
#include "extension/queue/plan.h"
#include "extension/queue/relations.h"
#include "extension/queue/wake.h"

/*
 * Rows are counted exactly up to this number, which takes a few milliseconds; larger counts are
 * estimated.
 */
#define EXACT_ROWS 10000

PG_FUNCTION_INFO_V1(ctms_enqueue_contacts);
PG_FUNCTION_INFO_V1(ctms_reset_acoustic_retries);
PG_FUNCTION_INFO_V1(ctms_acoustic_backlog);

static QueuePlan reset_plan = {
    .sql = "WITH failed AS MATERIALIZED ("
           " SELECT email_id FROM ctms.pending_acoustic"
           " WHERE (retry > 0 OR retry_after IS NOT NULL) AND ($1 IS NULL OR email_id = ANY ($1))"
           " ORDER BY email_id FOR UPDATE SKIP LOCKED)"
           "UPDATE ctms.pending_acoustic AS p SET retry = 0, retry_after = NULL, last_error = NULL"
           " FROM failed WHERE p.email_id = failed.email_id",
    .arg_count = 1,
    .arg_types = {UUIDARRAYOID}};

/* A deletion that was given up is dropped, not tried again, when the contact exists again. */
static QueuePlan drop_deleted_plan = {
    .sql = "WITH dropped AS MATERIALIZED ("
           " SELECT d.email_id FROM ctms.acoustic_deleted_contact AS d"
           " JOIN ctms.emails AS e ON e.email_id = d.email_id"
           " WHERE d.retry_after = 'infinity' AND ($1 IS NULL OR d.email_id = ANY ($1))"
           " FOR UPDATE OF d SKIP LOCKED)"
           "DELETE FROM ctms.acoustic_deleted_contact AS d USING dropped"
           " WHERE d.email_id = dropped.email_id",
    .arg_count = 1,
    .arg_types = {UUIDARRAYOID}};

static QueuePlan reset_deleted_plan = {
    .sql = "WITH failed AS MATERIALIZED ("
           " SELECT email_id FROM ctms.acoustic_deleted_contact"
           " WHERE (retry > 0 OR retry_after IS NOT NULL) AND ($1 IS NULL OR email_id = ANY ($1))"
           " ORDER BY email_id FOR UPDATE SKIP LOCKED)"
           "UPDATE ctms.acoustic_deleted_contact AS p"
           " SET retry = 0, retry_after = NULL, last_error = NULL"
           " FROM failed WHERE p.email_id = failed.email_id",
    .arg_count = 1,
    .arg_types = {UUIDARRAYOID}};

/* A row that should have been reset or dropped. It was passed over, because it has still failed. */
#define PASSED_RESET_SQL(table)                                                                    \
    "SELECT email_id FROM " table " WHERE (retry > 0 OR retry_after IS NOT NULL)"                  \
    " AND ($1 IS NULL OR email_id = ANY ($1)) LIMIT 1"

static QueuePlan passed_reset_plan = {
    .sql = PASSED_RESET_SQL("ctms.pending_acoustic"), .arg_count = 1, .arg_types = {UUIDARRAYOID}};
static QueuePlan passed_reset_deleted_plan = {.sql =
                                                  PASSED_RESET_SQL("ctms.acoustic_deleted_contact"),
                                              .arg_count = 1,
                                              .arg_types = {UUIDARRAYOID}};

/*
 * Counts the deleted contacts that are still to be sent, and how many of these have failed; each
 * count stops at $1.
 */
static QueuePlan count_deleted_plan = {
    .sql = "SELECT count(*) FILTER (WHERE retry_after IS DISTINCT FROM 'infinity'),"
           " count(*) FILTER (WHERE retry > 0) FROM ("
           "  SELECT retry, retry_after FROM ctms.acoustic_deleted_contact"
           "  WHERE is_to_send LIMIT $1) AS deleted",
    .arg_count = 1,
    .arg_types = {INT8OID}};

/*
 * A contact that an operator enqueues is always sent, even if it has not changed since it was
 * last sent.
 */
static QueuePlan forget_sent_plan = {.sql =
                                         "DELETE FROM ctms.acoustic_sent WHERE email_id = ANY ($1)",
                                     .arg_count = 1,
                                     .arg_types = {UUIDARRAYOID}};

/*
 * ready; how many of these have failed before; waiting after a failure; exhausted. Each count
 * stops at $2.
 */
static QueuePlan count_plan = {.sql =
                                   "SELECT"
                                   " (SELECT count(*) FROM (SELECT FROM ctms.pending_acoustic"
                                   "  WHERE retry_after IS NULL AND retry < $1 LIMIT $2) AS ready),"
                                   " (SELECT count(*) FROM (SELECT FROM ctms.pending_acoustic"
                                   "  WHERE retry_after IS NULL AND retry > 0 LIMIT $2) AS failed),"
                                   " (SELECT count(*) FROM (SELECT FROM ctms.pending_acoustic"
                                   "  WHERE retry_after < 'infinity' LIMIT $2) AS waiting),"
                                   " (SELECT count(*) FROM (SELECT FROM ctms.pending_acoustic"
                                   "  WHERE retry_after = 'infinity' LIMIT $2) AS exhausted)",
                               .arg_count = 2,
                               .arg_types = {INT4OID, INT8OID}};

/* The server's estimates: rows of the table, and how many of them are not ready. */
static QueuePlan estimate_plan = {
    .sql = "SELECT t.n, (t.n * (1 - COALESCE((SELECT null_frac FROM pg_stats"
           "  WHERE schemaname = 'ctms' AND tablename = 'pending_acoustic'"
           "  AND attname = 'retry_after'), 1)))::bigint"
           " FROM (SELECT GREATEST(pg_stat_get_live_tuples(oid), reltuples::bigint) AS n"
           "  FROM pg_class WHERE oid = 'ctms.pending_acoustic'::regclass) AS t"};

/* ctms.enqueue_contacts(email_ids) → how many contacts there were */
Datum
ctms_enqueue_contacts(PG_FUNCTION_ARGS)
{
    FeedKeys contacts;
    uint64 enqueued;

    /* The executor would check this, but the rows are written below it. */
    PreventCommandIfReadOnly("ctms.enqueue_contacts()");
    feed_keys_from_array(PG_GETARG_ARRAYTYPE_P(0), &contacts);
    enqueued = enqueue_contacts(&contacts);
    /* Whoever holds the queue row of a contact is the only one who writes this row of it. */
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

    reset->count = queue_run_plan(&reset_plan, reset->args, reset->nulls, SPI_OK_UPDATE);
    give_way_find_passed(passed, false, &passed_reset_plan, reset->args, reset->nulls);
    if (!queue_is_table_used(queue_relations()->deleted_contacts))
        return;
    queue_run_plan(&drop_deleted_plan, reset->args, reset->nulls, SPI_OK_DELETE);
    reset->count += queue_run_plan(&reset_deleted_plan, reset->args, reset->nulls, SPI_OK_UPDATE);
    give_way_find_passed(passed, true, &passed_reset_deleted_plan, reset->args, reset->nulls);
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

static int64
result_int64(int column)
{
    bool is_null;
    Datum value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, &is_null);

    return is_null ? 0 : DatumGetInt64(value);
}

typedef struct QueueCounts {
    int64 ready;
    int64 failed; /* of those that are ready */
    int64 waiting;
    int64 exhausted;
} QueueCounts;

/* Replaces each count that stopped at EXACT_ROWS by the estimated total minus the other counts. */
static void
estimate_counts(QueueCounts *counts)
{
    bool are_many_ready = counts->ready >= EXACT_ROWS;
    bool are_many_waiting = counts->waiting >= EXACT_ROWS;
    int64 all, not_ready;

    queue_run_plan(&estimate_plan, NULL, NULL, SPI_OK_SELECT);
    all = result_int64(1);
    not_ready = are_many_ready ? result_int64(2) : all - counts->ready;
    if (counts->exhausted >= EXACT_ROWS)
        counts->exhausted =
            Max(counts->exhausted, are_many_waiting ? not_ready / 2 : not_ready - counts->waiting);
    if (are_many_waiting)
        counts->waiting = Max(counts->waiting, not_ready - counts->exhausted);
    if (are_many_ready)
        counts->ready = Max(counts->ready, all - counts->waiting - counts->exhausted);
}

/* ctms.acoustic_backlog(retry_limit) → backlog, retry_backlog */
Datum
ctms_acoustic_backlog(PG_FUNCTION_ARGS)
{
    QueueCounts counts;
    Datum values[2];
    bool is_null[2] = {false, false};
    TupleDesc desc;

    if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
        elog(ERROR, "ctms.acoustic_backlog must return a row");
    SPI_connect();
    queue_run_plan(&count_plan, (Datum[]){PG_GETARG_DATUM(0), Int64GetDatum(EXACT_ROWS)}, NULL,
                   SPI_OK_SELECT);
    counts.ready = result_int64(1);
    counts.failed = result_int64(2);
    counts.waiting = result_int64(3);
    counts.exhausted = result_int64(4);
    if (Max(counts.ready, Max(counts.waiting, counts.exhausted)) >= EXACT_ROWS)
        estimate_counts(&counts);
    values[0] = Int64GetDatum(counts.ready + counts.waiting);
    values[1] = Int64GetDatum(counts.failed + counts.waiting + counts.exhausted);
    if (queue_is_table_used(queue_relations()->deleted_contacts)) {
        queue_run_plan(&count_deleted_plan, (Datum[]){Int64GetDatum(EXACT_ROWS)}, NULL,
                       SPI_OK_SELECT);
        values[0] = Int64GetDatum(DatumGetInt64(values[0]) + result_int64(1));
        values[1] = Int64GetDatum(DatumGetInt64(values[1]) + result_int64(2));
    }
    SPI_finish();

    PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, is_null)));
}
