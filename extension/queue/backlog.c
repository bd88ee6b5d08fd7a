/*
 * queue/backlog.c: the SQL functions with which operators and health checks count what waits.
 */
#include "extension/base/compat.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "extension/base/result_row.h"
#include "extension/queue/plan.h"
#include "extension/queue/relations.h"

/*
 * Rows are counted exactly up to this number, which takes a few milliseconds; larger counts are
 * estimated.
 */
#define EXACT_ROWS 10000

PG_FUNCTION_INFO_V1(ctms_acoustic_backlog);
PG_FUNCTION_INFO_V1(ctms_acoustic_lanes);

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
 * Of one lane, $3: ready; how many of these have failed before; waiting after a failure, in two
 * parts; exhausted; held by the open run of files until $4, and how many of these have failed
 * before. Each count stops at $2. Without such a run, $4 is a time at which nothing waits.
 */
#define UP_TO_SQL(condition)                                                                       \
    "(SELECT count(*) FROM (SELECT FROM ctms.pending_acoustic"                                     \
    " WHERE is_bulk = $3 AND retry_after " condition " LIMIT $2) AS up_to)"

#define READY_SQL UP_TO_SQL("IS NULL AND retry < $1")
#define READY_FAILED_SQL UP_TO_SQL("IS NULL AND retry > 0")
#define WAITING_SQL UP_TO_SQL("< $4") " + " UP_TO_SQL("> $4 AND retry_after < 'infinity'")
#define EXHAUSTED_SQL UP_TO_SQL("= 'infinity'")
#define HELD_SQL UP_TO_SQL("= $4")
#define HELD_FAILED_SQL UP_TO_SQL("= $4 AND retry > 0")

static QueuePlan count_plan = {.sql = "SELECT " READY_SQL ", " READY_FAILED_SQL ", " WAITING_SQL
                                      ", " EXHAUSTED_SQL ", " HELD_SQL ", " HELD_FAILED_SQL,
                               .arg_count = 4,
                               .arg_types = {INT4OID, INT8OID, BOOLOID, TIMESTAMPTZOID}};

/* Until when the open run of files holds its contacts, and how many it has not settled. */
static QueuePlan run_plan = {
    .sql =
        "SELECT hold_until::timestamptz, GREATEST(contacts - sent - refused - returned, 0)::bigint"
        " FROM ctms.acoustic_bulk_run WHERE end_timestamp IS NULL"};

/* The server's estimates: rows of the table, how many are not ready, and how many are bulk. */
static QueuePlan estimate_plan = {
    .sql = "SELECT t.n, (t.n * (1 - COALESCE((SELECT null_frac FROM pg_stats"
           "  WHERE schemaname = 'ctms' AND tablename = 'pending_acoustic'"
           "  AND attname = 'retry_after'), 1)))::bigint,"
           " (t.n * COALESCE((SELECT s.most_common_freqs["
           "   array_position(s.most_common_vals::text::text[], 't')] FROM pg_stats AS s"
           "  WHERE s.schemaname = 'ctms' AND s.tablename = 'pending_acoustic'"
           "  AND s.attname = 'is_bulk'), 0))::bigint"
           " FROM (SELECT GREATEST(pg_stat_get_live_tuples(oid), reltuples::bigint) AS n"
           "  FROM pg_class WHERE oid = 'ctms.pending_acoustic'::regclass) AS t"};

static QueuePlan age_plan = {
    .sql = "SELECT ctms._acoustic_age($1, $2)", .arg_count = 2, .arg_types = {INT4OID, BOOLOID}};

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
    int64 held;          /* by the open run of files */
    int64 held_failed;   /* of those */
    bool are_many_ready; /* these counts stopped at EXACT_ROWS */
    bool are_many_waiting;
    bool are_many_exhausted;
} QueueCounts;

/* The open run of files. */
typedef struct HoldingRun {
    TimestampTz hold_until; /* a time at which nothing waits when there is no run */
    int64 unsettled;
} HoldingRun;

static bool
is_any_estimated(const QueueCounts *counts)
{
    return counts->are_many_ready || counts->are_many_waiting || counts->are_many_exhausted;
}

static HoldingRun
find_run(void)
{
    HoldingRun run = {.hold_until = DT_NOBEGIN};

    if (queue_run_plan(&run_plan, NULL, NULL, SPI_OK_SELECT) > 0) {
        run.hold_until = result_int64(1);
        run.unsettled = result_int64(2);
    }
    return run;
}

static void
count_lane(QueueCounts *counts, int retry_limit, bool is_bulk, const HoldingRun *run)
{
    queue_run_plan(&count_plan,
                   (Datum[]){Int32GetDatum(retry_limit), Int64GetDatum(EXACT_ROWS),
                             BoolGetDatum(is_bulk), TimestampTzGetDatum(run->hold_until)},
                   NULL, SPI_OK_SELECT);
    counts->ready = result_int64(1);
    counts->failed = result_int64(2);
    counts->waiting = result_int64(3);
    counts->exhausted = result_int64(4);
    counts->held = result_int64(5);
    counts->held_failed = result_int64(6);
    counts->are_many_ready = counts->ready >= EXACT_ROWS;
    counts->are_many_waiting = counts->waiting >= EXACT_ROWS;
    counts->are_many_exhausted = counts->exhausted >= EXACT_ROWS;
}

static QueueCounts
add_counts(const QueueCounts *a, const QueueCounts *b)
{
    return (QueueCounts){.ready = a->ready + b->ready,
                         .failed = a->failed + b->failed,
                         .waiting = a->waiting + b->waiting,
                         .exhausted = a->exhausted + b->exhausted,
                         .held = a->held + b->held,
                         .held_failed = a->held_failed + b->held_failed,
                         .are_many_ready = a->are_many_ready || b->are_many_ready,
                         .are_many_waiting = a->are_many_waiting || b->are_many_waiting,
                         .are_many_exhausted = a->are_many_exhausted || b->are_many_exhausted};
}

/* Replaces each count that stopped early by the estimated total minus the other counts. */
static void
estimate_counts(QueueCounts *counts, int64 all, int64 all_not_ready)
{
    int64 not_ready = counts->are_many_ready ? all_not_ready : all - counts->ready;

    if (counts->are_many_exhausted)
        counts->exhausted =
            Max(counts->exhausted,
                counts->are_many_waiting ? not_ready / 2 : not_ready - counts->waiting);
    if (counts->are_many_waiting)
        counts->waiting = Max(counts->waiting, not_ready - counts->exhausted);
    if (counts->are_many_ready)
        counts->ready = Max(counts->ready, all - counts->waiting - counts->exhausted);
}

typedef struct Backlog {
    QueueCounts all; /* without deletions */
    int64 lanes[2];  /* by is_bulk: what is to be sent */
    int64 deletions;
    int64 failed_deletions;
} Backlog;

/* Where a count of held rows stopped early, the rest of what the run holds is in that lane; where
 * both did, in the bulk lane, from which it took them. */
static void
estimate_held(QueueCounts *lanes, const HoldingRun *run)
{
    for (int is_bulk = 1; is_bulk >= 0; is_bulk--)
        if (lanes[is_bulk].held >= EXACT_ROWS)
            lanes[is_bulk].held = Max(EXACT_ROWS, run->unsettled - lanes[!is_bulk].held);
}

/* If only one of the lanes is long, the other is known exactly, and the rest is its own. */
static void
count_backlog(Backlog *backlog, int retry_limit)
{
    HoldingRun run = find_run();
    QueueCounts lanes[2];
    int64 sum;

    for (int is_bulk = 0; is_bulk < 2; is_bulk++) {
        count_lane(&lanes[is_bulk], retry_limit, is_bulk, &run);
        backlog->lanes[is_bulk] = lanes[is_bulk].ready + lanes[is_bulk].waiting;
    }
    estimate_held(lanes, &run);
    backlog->all = add_counts(&lanes[0], &lanes[1]);
    if (is_any_estimated(&backlog->all)) {
        int64 bulk;

        queue_run_plan(&estimate_plan, NULL, NULL, SPI_OK_SELECT);
        bulk = Max(result_int64(3) - lanes[1].held, 0);
        estimate_counts(&backlog->all, Max(result_int64(1) - backlog->all.held, 0),
                        Max(result_int64(2) - backlog->all.held, 0));
        sum = backlog->all.ready + backlog->all.waiting;
        if (is_any_estimated(&lanes[1]))
            backlog->lanes[1] = Max(backlog->lanes[1], is_any_estimated(&lanes[0])
                                                           ? Min(bulk, sum - backlog->lanes[0])
                                                           : sum - backlog->lanes[0]);
        if (is_any_estimated(&lanes[0]))
            backlog->lanes[0] = Max(backlog->lanes[0], sum - backlog->lanes[1]);
    }
    for (int is_bulk = 0; is_bulk < 2; is_bulk++)
        backlog->lanes[is_bulk] += lanes[is_bulk].held;
    backlog->deletions = backlog->failed_deletions = 0;
    if (queue_is_table_used(queue_relations()->deleted_contacts)) {
        queue_run_plan(&count_deleted_plan, (Datum[]){Int64GetDatum(EXACT_ROWS)}, NULL,
                       SPI_OK_SELECT);
        backlog->deletions = result_int64(1);
        backlog->failed_deletions = result_int64(2);
    }
}

/* ctms.acoustic_backlog(retry_limit) → backlog, retry_backlog */
Datum
ctms_acoustic_backlog(PG_FUNCTION_ARGS)
{
    Backlog backlog;
    Datum values[2];
    bool is_null[2] = {false, false};

    SPI_connect();
    count_backlog(&backlog, PG_GETARG_INT32(0));
    SPI_finish();
    values[0] = Int64GetDatum(backlog.all.ready + backlog.all.waiting + backlog.all.held +
                              backlog.deletions);
    values[1] = Int64GetDatum(backlog.all.failed + backlog.all.waiting + backlog.all.exhausted +
                              backlog.all.held_failed + backlog.failed_deletions);

    PG_RETURN_DATUM(result_row_make(fcinfo, values, is_null, lengthof(values)));
}

/* ctms.acoustic_lanes(retry_limit) → a row for each lane: lane, backlog, oldest_age_s */
Datum
ctms_acoustic_lanes(PG_FUNCTION_ARGS)
{
    ReturnSetInfo *result;
    Backlog backlog;

    InitMaterializedSRF(fcinfo, 0);
    result = (ReturnSetInfo *)fcinfo->resultinfo;
    SPI_connect();
    count_backlog(&backlog, PG_GETARG_INT32(0));
    for (int is_bulk = 0; is_bulk < 2; is_bulk++) {
        Datum values[3];
        bool is_null[3] = {false};

        queue_run_plan(&age_plan, (Datum[]){PG_GETARG_DATUM(0), BoolGetDatum(is_bulk)}, NULL,
                       SPI_OK_SELECT);
        values[0] = CStringGetTextDatum(is_bulk ? "bulk" : "live");
        values[1] = Int64GetDatum(backlog.lanes[is_bulk] + (is_bulk ? 0 : backlog.deletions));
        values[2] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null[2]);
        result_row_put(result, values, is_null, lengthof(values));
    }
    SPI_finish();
    return (Datum)0;
}
