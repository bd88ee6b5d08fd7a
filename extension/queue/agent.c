/*
 * queue/agent.c: the functions with which a sending agent reports to the queue.
 *
 * An agent claims rows for the time of a lease (queue/claim.c), sends them outside of any
 * transaction, and then finishes, fails or releases them. Each call is one short transaction.
 * Only the agent that holds a row can change it here. What happens to the row depends on whether
 * its contact changed after the claim, in which case its generation has grown.
 *
 * A row that a file of contacts holds (queue/bulk.c) has its lease as retry_after, too: both end
 * together.
 *
 * No call waits for a row while it holds another (queue/give_way.c). A run of files also has calls
 * that do not wait at all.
 */
#include "extension/base/compat.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "extension/base/settings.h"
#include "extension/queue/agent.h"
#include "extension/queue/give_way.h"
#include "extension/queue/memory.h"
#include "extension/queue/plan.h"
#include "extension/queue/relations.h"

/* The longest wait between two attempts. */
#define MAX_RETRY_DELAY_MS (15 * 60 * 1000)

PG_FUNCTION_INFO_V1(ctms_finish_acoustic);
PG_FUNCTION_INFO_V1(ctms_fail_acoustic);
PG_FUNCTION_INFO_V1(ctms_release_acoustic);
PG_FUNCTION_INFO_V1(ctms__finish_acoustic);
PG_FUNCTION_INFO_V1(ctms__release_acoustic);

/*
 * The same statements serve the queue and the table of deleted contacts, which has the same
 * columns and one more, lease_generation. In that table a lease is either the contact's own, kept
 * when the contact was deleted while it was being sent, or the lease of the deletion. A late
 * outcome for the contact must not end the lease of the deletion.
 */
#define ANY_LEASE ""
#define RIGHT_LEASE " AND (p.lease_generation IS NULL OR p.lease_generation = d.generation)"

#define FINISH_SQL(table, lease)                                                                   \
    "WITH done AS MATERIALIZED ("                                                                  \
    " SELECT p.email_id, p.generation = d.generation AS is_unchanged, d.place"                     \
    " FROM unnest($2, $3) WITH ORDINALITY AS d (email_id, generation, place)"                      \
    " JOIN " table " AS p ON p.email_id = d.email_id"                                              \
    " WHERE p.lease_owner = $1" lease " ORDER BY p.email_id FOR UPDATE OF p SKIP LOCKED),"         \
    "freed AS ("                                                                                   \
    " UPDATE " table " AS p"                                                                       \
    " SET lease_owner = NULL, lease_until = NULL,"                                                 \
    " retry_after = NULLIF(p.retry_after, p.lease_until), create_timestamp = p.update_timestamp"   \
    " FROM done WHERE p.email_id = done.email_id AND NOT done.is_unchanged),"                      \
    "removed AS ("                                                                                 \
    " DELETE FROM " table " AS p"                                                                  \
    " USING done WHERE p.email_id = done.email_id AND done.is_unchanged)"                          \
    "SELECT email_id::uuid, is_unchanged, place FROM done"

#define FAIL_SQL(table, lease)                                                                     \
    "WITH failed AS MATERIALIZED ("                                                                \
    " SELECT p.email_id, p.generation = d.generation AS is_unchanged, d.error,"                    \
    "  d.is_permanent IS TRUE OR p.retry + 1 >= $4 AS is_exhausted,"                               \
    "  d.is_permanent IS TRUE AS is_permanent"                                                     \
    " FROM unnest($2, $3, $5, $6) AS d (email_id, generation, error, is_permanent)"                \
    " JOIN " table " AS p ON p.email_id = d.email_id"                                              \
    " WHERE p.lease_owner = $1" lease " ORDER BY p.email_id FOR UPDATE OF p SKIP LOCKED)"          \
    "UPDATE " table " AS p SET lease_owner = NULL, lease_until = NULL,"                            \
    " retry = CASE WHEN NOT f.is_unchanged THEN p.retry"                                           \
    "  WHEN f.is_permanent THEN GREATEST(p.retry + 1, $4) ELSE p.retry + 1 END,"                   \
    " retry_after = CASE WHEN NOT f.is_unchanged THEN NULLIF(p.retry_after, p.lease_until)"        \
    "  WHEN f.is_exhausted THEN 'infinity'"                                                        \
    "  ELSE $7 + LEAST($8 * power(2, LEAST(p.retry, 30)), $9) * (0.5 + random())"                  \
    "   * interval '1 millisecond' END,"                                                           \
    " last_error = CASE WHEN NOT f.is_unchanged THEN p.last_error"                                 \
    "  ELSE to_char($7 AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') || ' '"               \
    "   || left(COALESCE(f.error, 'unknown'), 2000) END,"                                          \
    " create_timestamp = CASE WHEN f.is_unchanged THEN p.create_timestamp"                         \
    "  ELSE p.update_timestamp END"                                                                \
    " FROM failed AS f WHERE p.email_id = f.email_id"                                              \
    " RETURNING p.email_id::uuid, left(COALESCE(f.error, 'unknown'), 2000)"

/* $2: only these contacts; null in the statements for all of the agent's. */
#define ALL ""
#define AMONG " AND email_id = ANY ($2)"

#define RELEASE_SQL(table, which)                                                                  \
    "WITH held AS MATERIALIZED ("                                                                  \
    " SELECT email_id FROM " table " WHERE lease_owner = $1" which                                 \
    " ORDER BY email_id FOR UPDATE SKIP LOCKED)"                                                   \
    "UPDATE " table " AS p SET lease_owner = NULL, lease_until = NULL,"                            \
    " retry_after = NULLIF(p.retry_after, p.lease_until)"                                          \
    " FROM held WHERE p.email_id = held.email_id"

/*
 * A row that one of the statements above should have changed. Changed rows have no owner any more,
 * so the row was passed over.
 */
#define PASSED_SQL(table, lease)                                                                   \
    "SELECT p.email_id FROM unnest($2, $3) AS d (email_id, generation)"                            \
    " JOIN " table " AS p ON p.email_id = d.email_id"                                              \
    " WHERE p.lease_owner = $1" lease " ORDER BY p.email_id LIMIT 1"
#define PASSED_RELEASE_SQL(table, which)                                                           \
    "SELECT email_id FROM " table " WHERE lease_owner = $1" which " ORDER BY email_id LIMIT 1"

#define DELETED "ctms.acoustic_deleted_contact"

#define FINISH_PLAN(table, lease)                                                                  \
    {                                                                                              \
        .sql = FINISH_SQL(table, lease), .arg_count = 3, .arg_types = {                            \
            TEXTOID,                                                                               \
            UUIDARRAYOID,                                                                          \
            INT8ARRAYOID                                                                           \
        }                                                                                          \
    }
#define FAIL_PLAN(table, lease)                                                                    \
    {                                                                                              \
        .sql = FAIL_SQL(table, lease), .arg_count = 9, .arg_types = {                              \
            TEXTOID,                                                                               \
            UUIDARRAYOID,                                                                          \
            INT8ARRAYOID,                                                                          \
            INT4OID,                                                                               \
            TEXTARRAYOID,                                                                          \
            BOOLARRAYOID,                                                                          \
            TIMESTAMPTZOID,                                                                        \
            FLOAT8OID,                                                                             \
            FLOAT8OID                                                                              \
        }                                                                                          \
    }
/* For all that the agent holds, and for some of it. */
#define RELEASE_PLANS(SQL, table)                                                                  \
    {                                                                                              \
        {.sql = SQL(table, ALL), .arg_count = 1, .arg_types = {TEXTOID}},                          \
            {.sql = SQL(table, AMONG), .arg_count = 2, .arg_types = {TEXTOID, UUIDARRAYOID}},      \
    }

#define PASSED_PLAN(table, lease)                                                                  \
    {                                                                                              \
        .sql = PASSED_SQL(table, lease), .arg_count = 3, .arg_types = {                            \
            TEXTOID,                                                                               \
            UUIDARRAYOID,                                                                          \
            INT8ARRAYOID                                                                           \
        }                                                                                          \
    }

static QueuePlan finish_plan = FINISH_PLAN("ctms.pending_acoustic", ANY_LEASE);
static QueuePlan finish_deleted_plan = FINISH_PLAN(DELETED, RIGHT_LEASE);
static QueuePlan fail_plan = FAIL_PLAN("ctms.pending_acoustic", ANY_LEASE);
static QueuePlan fail_deleted_plan = FAIL_PLAN(DELETED, RIGHT_LEASE);
static QueuePlan release_plans[2] = RELEASE_PLANS(RELEASE_SQL, "ctms.pending_acoustic");
static QueuePlan release_deleted_plans[2] = RELEASE_PLANS(RELEASE_SQL, DELETED);
static QueuePlan passed_plan = PASSED_PLAN("ctms.pending_acoustic", ANY_LEASE);
static QueuePlan passed_deleted_plan = PASSED_PLAN(DELETED, RIGHT_LEASE);
static QueuePlan passed_release_plans[2] =
    RELEASE_PLANS(PASSED_RELEASE_SQL, "ctms.pending_acoustic");
static QueuePlan passed_release_deleted_plans[2] = RELEASE_PLANS(PASSED_RELEASE_SQL, DELETED);

/* ---- arguments ------------------------------------------------------------- */

void
queue_check_retry_limit(int retry_limit)
{
    if (retry_limit < 1)
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                errmsg("the retry limit must be at least 1"));
}

static int
count_elements(FunctionCallInfo fcinfo, int argument)
{
    ArrayType *array = PG_GETARG_ARRAYTYPE_P(argument);

    return ARR_NDIM(array) > 1 ? -1 : ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
}

/* Arrays that belong together must have one element for each contact. Returns how many that is. */
static int
check_lengths(FunctionCallInfo fcinfo, int first, int last)
{
    int expected = count_elements(fcinfo, first);

    for (int i = first; i <= last; i++)
        if (!PG_ARGISNULL(i) && (expected < 0 || count_elements(fcinfo, i) != expected))
            ereport(ERROR, errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
                    errmsg("the arrays must have one element for each contact"));
    return expected;
}

/* ---- finishing ------------------------------------------------------------- */

/* The elements of an optional text[]; null when the argument is null. */
typedef struct Texts {
    Datum *values;
    bool *are_null;
} Texts;

static Texts
get_texts(FunctionCallInfo fcinfo, int argument)
{
    Texts texts = {0};
    int count;

    if (!PG_ARGISNULL(argument))
        deconstruct_array(PG_GETARG_ARRAYTYPE_P(argument), TEXTOID, -1, false, TYPALIGN_INT,
                          &texts.values, &texts.are_null, &count);
    return texts;
}

typedef struct Finish {
    Datum *args;
    int asked;
    Outcomes removed; /* their details are hashes */
    Outcomes done;    /* what the history gets of them, without details */
    bool keeps_sent;
    Texts outcomes;
    Texts hashes;
} Finish;

/*
 * Collects what a finishing statement returned. "fixed" is the outcome of all rows; when it is
 * null, the agent has said the outcome of each.
 */
static void
take_finished(Finish *finish, uint64 count, const char *fixed)
{
    bool is_kept = !fixed && finish->hashes.values;

    for (uint64 i = 0; i < count; i++) {
        bool is_null;
        HeapTuple row = SPI_tuptable->vals[i];
        TupleDesc desc = SPI_tuptable->tupdesc;
        Datum email_id = SPI_getbinval(row, desc, 1, &is_null);
        bool is_unchanged = DatumGetBool(SPI_getbinval(row, desc, 2, &is_null));
        int64 place = DatumGetInt64(SPI_getbinval(row, desc, 3, &is_null)) - 1;
        const char *outcome = fixed ? fixed : "sent";

        /* The contact was deleted while it was being sent: the row only kept its lease. */
        if (fixed && !is_unchanged)
            continue;
        if (!fixed && finish->outcomes.values && !finish->outcomes.are_null[place])
            outcome = TextDatumGetCString(finish->outcomes.values[place]);
        if (fixed || finish->keeps_sent)
            memory_add_outcome(&finish->done, email_id, outcome, (Datum)0, true);
        /* If the contact changed in the meantime, it is sent again soon, so no hashes are kept. */
        if (is_unchanged)
            memory_add_outcome(&finish->removed, email_id, outcome,
                               is_kept ? finish->hashes.values[place] : (Datum)0,
                               !is_kept || finish->hashes.are_null[place]);
    }
}

static void
finish_rows(void *arg, PassedRow *passed)
{
    Finish *finish = arg;
    uint64 count, deletions;

    finish->removed.count = finish->done.count = 0;
    count = queue_run_plan(&finish_plan, finish->args, NULL, SPI_OK_SELECT);
    take_finished(finish, count, NULL);
    if (count >= (uint64)finish->asked)
        return;
    give_way_find_passed(passed, false, &passed_plan, finish->args, NULL);
    /* The other contacts are not in the queue any more, or they are deleted contacts. */
    if (!queue_is_table_used(queue_relations()->deleted_contacts))
        return;
    deletions = queue_run_plan(&finish_deleted_plan, finish->args, NULL, SPI_OK_SELECT);
    take_finished(finish, deletions, "deleted");
    if (count + deletions < (uint64)finish->asked)
        give_way_find_passed(passed, true, &passed_deleted_plan, finish->args, NULL);
}

static int64
finish_acoustic(Finish *finish, bool waits)
{
    finish->keeps_sent = memory_keeps_sent();
    SPI_connect();
    if (waits)
        give_way_do(finish_rows, finish);
    else
        give_way_try(finish_rows, finish);
    memory_remember_sent(&finish->removed);
    memory_write_history(&finish->done);
    SPI_finish();
    return finish->removed.count;
}

/* ctms.finish_acoustic(agent, email_ids, generations, outcomes, hashes) → rows removed */
Datum
ctms_finish_acoustic(PG_FUNCTION_ARGS)
{
    Datum args[3] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1), PG_GETARG_DATUM(2)};
    Finish finish = {.args = args};

    for (int i = 0; i < 3; i++)
        if (PG_ARGISNULL(i))
            PG_RETURN_NULL();
    finish.asked = check_lengths(fcinfo, 1, 4);
    finish.outcomes = get_texts(fcinfo, 3);
    finish.hashes = get_texts(fcinfo, 4);
    PG_RETURN_INT64(finish_acoustic(&finish, true));
}

/* ctms._finish_acoustic(agent, email_ids, generations, waits) → rows removed */
Datum
ctms__finish_acoustic(PG_FUNCTION_ARGS)
{
    Datum args[3] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1), PG_GETARG_DATUM(2)};
    Finish finish = {.args = args, .asked = check_lengths(fcinfo, 1, 2)};

    PG_RETURN_INT64(finish_acoustic(&finish, PG_GETARG_BOOL(3)));
}

/* ---- failing --------------------------------------------------------------- */

typedef struct Failure {
    Datum *args;
    int asked;
    Outcomes failed; /* their details are errors */
} Failure;

static void
take_failed(Outcomes *failed, uint64 count)
{
    for (uint64 i = 0; i < count; i++) {
        bool is_null;
        HeapTuple row = SPI_tuptable->vals[i];
        TupleDesc desc = SPI_tuptable->tupdesc;
        Datum email_id = SPI_getbinval(row, desc, 1, &is_null);

        memory_add_outcome(failed, email_id, "failed", SPI_getbinval(row, desc, 2, &is_null),
                           false);
    }
}

static void
fail_rows(void *arg, PassedRow *passed)
{
    Failure *failure = arg;

    failure->failed.count = 0;
    take_failed(&failure->failed,
                queue_run_plan(&fail_plan, failure->args, NULL, SPI_OK_UPDATE_RETURNING));
    if (failure->failed.count >= failure->asked)
        return;
    give_way_find_passed(passed, false, &passed_plan, failure->args, NULL);
    if (!queue_is_table_used(queue_relations()->deleted_contacts))
        return;
    take_failed(&failure->failed,
                queue_run_plan(&fail_deleted_plan, failure->args, NULL, SPI_OK_UPDATE_RETURNING));
    if (failure->failed.count < failure->asked)
        give_way_find_passed(passed, true, &passed_deleted_plan, failure->args, NULL);
}

/* ctms.fail_acoustic(agent, email_ids, generations, errors, is_permanent, retry_limit) */
Datum
ctms_fail_acoustic(PG_FUNCTION_ARGS)
{
    Datum args[9] = {PG_GETARG_DATUM(0),
                     PG_GETARG_DATUM(1),
                     PG_GETARG_DATUM(2),
                     PG_GETARG_DATUM(5),
                     PG_GETARG_DATUM(3),
                     PG_GETARG_DATUM(4),
                     TimestampTzGetDatum(GetCurrentTimestamp()),
                     Float8GetDatum(settings_get_ms(SETTING_ACOUSTIC_RETRY_DELAY)),
                     Float8GetDatum(MAX_RETRY_DELAY_MS)};
    Failure failure = {.args = args, .asked = check_lengths(fcinfo, 1, 4)};

    queue_check_retry_limit(PG_GETARG_INT32(5));
    SPI_connect();
    give_way_do(fail_rows, &failure);
    memory_write_history(&failure.failed);
    SPI_finish();
    PG_RETURN_INT64(failure.failed.count);
}

/* ---- releasing ------------------------------------------------------------- */

typedef struct Release {
    Datum *args;
    bool are_some; /* only contacts that are named */
    uint64 count;
} Release;

static void
release_rows(void *arg, PassedRow *passed)
{
    Release *release = arg;

    release->count =
        queue_run_plan(&release_plans[release->are_some], release->args, NULL, SPI_OK_UPDATE);
    give_way_find_passed(passed, false, &passed_release_plans[release->are_some], release->args,
                         NULL);
    if (!queue_is_table_used(queue_relations()->deleted_contacts))
        return;
    release->count += queue_run_plan(&release_deleted_plans[release->are_some], release->args, NULL,
                                     SPI_OK_UPDATE);
    give_way_find_passed(passed, true, &passed_release_deleted_plans[release->are_some],
                         release->args, NULL);
}

static uint64
release_acoustic(Datum *args, bool are_some, bool waits)
{
    Release release = {.args = args, .are_some = are_some};

    SPI_connect();
    if (waits)
        give_way_do(release_rows, &release);
    else
        give_way_try(release_rows, &release);
    SPI_finish();
    return release.count;
}

/* ctms.release_acoustic(agent) → rows given back */
Datum
ctms_release_acoustic(PG_FUNCTION_ARGS)
{
    PG_RETURN_INT64(release_acoustic((Datum[]){PG_GETARG_DATUM(0)}, false, true));
}

/* ctms._release_acoustic(agent, email_ids, waits) → rows of these contacts given back */
Datum
ctms__release_acoustic(PG_FUNCTION_ARGS)
{
    PG_RETURN_INT64(release_acoustic((Datum[]){PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)}, true,
                                     PG_GETARG_BOOL(2)));
}
