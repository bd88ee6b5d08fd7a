/*
 * queue_agent.c: what a sending agent tells the queue.
 *
 * An agent claims rows for the time of a lease (queue_claim.c), sends them outside of any
 * transaction, then finishes, fails or releases them. Each call is one short transaction. A row is
 * only touched by the agent that holds it; what happens to it depends on whether its contact
 * changed since it was claimed (its generation grew).
 *
 * Calls that wait for row locks take them in order of email_id, as the feed does.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "queue_agent.h"
#include "queue_plan.h"

/* The setting ctms.acoustic_retry_delay, in milliseconds. */
static int retry_delay_ms = 10000;
/* No wait is longer. */
#define MAX_RETRY_DELAY_MS (15 * 60 * 1000)

PG_FUNCTION_INFO_V1(ctms_finish_acoustic);
PG_FUNCTION_INFO_V1(ctms_fail_acoustic);
PG_FUNCTION_INFO_V1(ctms_release_acoustic);

static QueuePlan finish_plan = {
    .sql = "WITH done AS MATERIALIZED ("
           " SELECT p.email_id, p.generation = d.generation AS is_unchanged"
           " FROM unnest($2, $3) AS d (email_id, generation)"
           " JOIN ctms.pending_acoustic AS p ON p.email_id = d.email_id"
           " WHERE p.lease_owner = $1 ORDER BY p.email_id FOR UPDATE OF p),"
           "freed AS ("
           " UPDATE ctms.pending_acoustic AS p"
           " SET lease_owner = NULL, lease_until = NULL, create_timestamp = p.update_timestamp"
           " FROM done WHERE p.email_id = done.email_id AND NOT done.is_unchanged)"
           "DELETE FROM ctms.pending_acoustic AS p"
           " USING done WHERE p.email_id = done.email_id AND done.is_unchanged",
    .arg_count = 3,
    .arg_types = {TEXTOID, UUIDARRAYOID, INT8ARRAYOID}};

static QueuePlan fail_plan = {
    .sql =
        "WITH failed AS MATERIALIZED ("
        " SELECT p.email_id, p.generation = d.generation AS is_unchanged, d.error,"
        "  d.is_permanent IS TRUE OR p.retry + 1 >= $4 AS is_exhausted, d.is_permanent IS TRUE AS "
        "is_permanent"
        " FROM unnest($2, $3, $5, $6) AS d (email_id, generation, error, is_permanent)"
        " JOIN ctms.pending_acoustic AS p ON p.email_id = d.email_id"
        " WHERE p.lease_owner = $1 ORDER BY p.email_id FOR UPDATE OF p)"
        "UPDATE ctms.pending_acoustic AS p SET lease_owner = NULL, lease_until = NULL,"
        " retry = CASE WHEN NOT f.is_unchanged THEN p.retry"
        "  WHEN f.is_permanent THEN GREATEST(p.retry + 1, $4) ELSE p.retry + 1 END,"
        " retry_after = CASE WHEN NOT f.is_unchanged THEN p.retry_after"
        "  WHEN f.is_exhausted THEN 'infinity'"
        "  ELSE $7 + LEAST($8 * power(2, LEAST(p.retry, 30)), $9) * (0.5 + random())"
        "   * interval '1 millisecond' END,"
        " last_error = CASE WHEN NOT f.is_unchanged THEN p.last_error"
        "  ELSE to_char($7 AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') || ' '"
        "   || left(COALESCE(f.error, 'unknown'), 2000) END,"
        " create_timestamp = CASE WHEN f.is_unchanged THEN p.create_timestamp"
        "  ELSE p.update_timestamp END"
        " FROM failed AS f WHERE p.email_id = f.email_id",
    .arg_count = 9,
    .arg_types = {TEXTOID, UUIDARRAYOID, INT8ARRAYOID, INT4OID, TEXTARRAYOID, BOOLARRAYOID,
                  TIMESTAMPTZOID, FLOAT8OID, FLOAT8OID}};

static QueuePlan release_plan = {
    .sql = "WITH held AS MATERIALIZED ("
           " SELECT email_id FROM ctms.pending_acoustic WHERE lease_owner = $1"
           " ORDER BY email_id FOR UPDATE)"
           "UPDATE ctms.pending_acoustic AS p SET lease_owner = NULL, lease_until = NULL"
           " FROM held WHERE p.email_id = held.email_id",
    .arg_count = 1,
    .arg_types = {TEXTOID}};

/* ---- arguments ------------------------------------------------------------- */

void
ctms_check_retry_limit(int retry_limit)
{
    if (retry_limit < 1)
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                errmsg("the retry limit must be at least 1"));
}

/* Arrays that belong together have one element for each contact. */
static void
check_lengths(FunctionCallInfo fcinfo, int first, int last)
{
    int expected = ArrayGetNItems(ARR_NDIM(PG_GETARG_ARRAYTYPE_P(first)),
                                  ARR_DIMS(PG_GETARG_ARRAYTYPE_P(first)));

    for (int i = first; i <= last; i++) {
        ArrayType *array = PG_GETARG_ARRAYTYPE_P(i);

        if (ARR_NDIM(array) > 1 || ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)) != expected)
            ereport(ERROR, errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
                    errmsg("the arrays must have one element for each contact"));
    }
}

/* ---- functions ------------------------------------------------------------- */

/* ctms.finish_acoustic(agent, email_ids, generations) → rows removed */
Datum
ctms_finish_acoustic(PG_FUNCTION_ARGS)
{
    uint64 removed;

    check_lengths(fcinfo, 1, 2);
    SPI_connect();
    removed = ctms_run_queue_plan(
        &finish_plan, (Datum[]){PG_GETARG_DATUM(0), PG_GETARG_DATUM(1), PG_GETARG_DATUM(2)}, NULL,
        SPI_OK_DELETE);
    SPI_finish();
    PG_RETURN_INT64(removed);
}

/* ctms.fail_acoustic(agent, email_ids, generations, errors, is_permanent, retry_limit) */
Datum
ctms_fail_acoustic(PG_FUNCTION_ARGS)
{
    uint64 updated;

    check_lengths(fcinfo, 1, 4);
    ctms_check_retry_limit(PG_GETARG_INT32(5));
    SPI_connect();
    updated = ctms_run_queue_plan(
        &fail_plan,
        (Datum[]){PG_GETARG_DATUM(0), PG_GETARG_DATUM(1), PG_GETARG_DATUM(2), PG_GETARG_DATUM(5),
                  PG_GETARG_DATUM(3), PG_GETARG_DATUM(4),
                  TimestampTzGetDatum(GetCurrentTimestamp()), Float8GetDatum(retry_delay_ms),
                  Float8GetDatum(MAX_RETRY_DELAY_MS)},
        NULL, SPI_OK_UPDATE);
    SPI_finish();
    PG_RETURN_INT64(updated);
}

/* ctms.release_acoustic(agent) → rows given back */
Datum
ctms_release_acoustic(PG_FUNCTION_ARGS)
{
    uint64 released;

    SPI_connect();
    released =
        ctms_run_queue_plan(&release_plan, (Datum[]){PG_GETARG_DATUM(0)}, NULL, SPI_OK_UPDATE);
    SPI_finish();
    PG_RETURN_INT64(released);
}

void
ctms_queue_agent_init(void)
{
    DefineCustomIntVariable(
        "ctms.acoustic_retry_delay",
        "How long a contact waits after its first failed attempt to send it.",
        "Each further failure doubles the wait, up to 15 minutes; each wait varies by half.",
        &retry_delay_ms, 10000, 0, MAX_RETRY_DELAY_MS, PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);
}
