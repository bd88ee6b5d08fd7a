/*
 * queue/claim.c: leases queue rows to an agent.
 *
 * The index on (retry_after, retry, create_timestamp) has the free rows first, in the order of
 * claiming. Rows that were sent leave dead entries at the very beginning of the index until a
 * vacuum removes them. While a long transaction keeps vacuum from doing so, each scan from the
 * beginning takes longer than the one before. So a session whose scan was long starts its next
 * claims at the place where it last found something. It scans from the beginning only once a
 * second, or less often if that takes long. Rows that appear before that place (released,
 * expired, free again after a failure) wait until then.
 */
#include "extension/base/compat.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/instrument.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "extension/queue/agent.h"
#include "extension/queue/claim.h"
#include "extension/queue/give_way.h"
#include "extension/queue/plan.h"
#include "extension/queue/relations.h"
#include "extension/queue/stripe.h"
#include "extension/queue/wake.h"

#define MAX_BATCH 10000

/*
 * A scan is long when it reads more pages than this, not counting PAGES_PER_ROW for each claimed
 * row.
 */
#define LONG_WAY_PAGES 300
#define PAGES_PER_ROW 30
#define WHOLE_WAY_INTERVAL_MS 1000
/* Scans from the beginning may take at most one part in this many of the time. */
#define WHOLE_WAY_SHARE 20
/*
 * A commit becomes visible a little later than the time that its rows carry. Rows that appear
 * even later than this are found by the next scan from the beginning.
 */
#define LATE_COMMIT_MS 300

/* What the session knows about the beginning of the index. */
static bool is_warm = false; /* the first claim also reads pages of the catalogs */
static bool is_way_long = false;
static TimestampTz found_at = 0;       /* no row that waits for its first attempt is older */
static TimestampTz next_whole_way = 0; /* when to read from the beginning again */

PG_FUNCTION_INFO_V1(ctms_claim_acoustic);

/*
 * Frees failed rows in the order in which their waits end, so that they are mixed with the others
 * and do not all come before or after them.
 */
#define RIPEN_SQL(table)                                                                           \
    "WITH ripe AS MATERIALIZED ("                                                                  \
    " SELECT email_id FROM " table                                                                 \
    " WHERE retry_after <= $1 ORDER BY retry_after NULLS FIRST LIMIT $2 FOR UPDATE SKIP LOCKED)"   \
    "UPDATE " table " AS p SET retry_after = NULL FROM ripe WHERE p.email_id = ripe.email_id"

/* Leased rows are skipped one by one; there are never more of them than the agents hold. */
#define CLAIM_SQL(table, state, condition, change)                                                 \
    "WITH free AS MATERIALIZED ("                                                                  \
    " SELECT q.email_id, " state " AS state FROM " table " AS q"                                   \
    " WHERE q.retry_after IS NULL AND " condition                                                  \
    "  AND (q.lease_until IS NULL OR q.lease_until <= $4)"                                         \
    " ORDER BY q.retry_after NULLS FIRST, q.retry, q.create_timestamp LIMIT $2"                    \
    " FOR UPDATE OF q SKIP LOCKED),"                                                               \
    "claimed AS ("                                                                                 \
    " UPDATE " table " AS p SET lease_owner = $1, lease_until = $4 + $5" change                    \
    " FROM free WHERE p.email_id = free.email_id"                                                  \
    " RETURNING p.email_id, p.generation, p.retry, free.state, p.create_timestamp)"                \
    "SELECT email_id::uuid, generation::bigint, retry::integer, state,"                            \
    " create_timestamp::timestamptz FROM claimed"                                                  \
    " ORDER BY retry, create_timestamp, email_id"

/*
 * If a deleted contact has been created again, its row waits until Acoustic has been told of the
 * deletion (or that was given up), and until no agent is still sending the old contact.
 */
#define QUEUE_CLAIM_SQL(condition)                                                                 \
    CLAIM_SQL("ctms.pending_acoustic", "CASE WHEN q.is_tried THEN 'again' ELSE 'new' END",         \
              condition                                                                            \
              " AND NOT EXISTS ("                                                                  \
              "SELECT FROM ctms.acoustic_deleted_contact AS d"                                     \
              " WHERE d.email_id = q.email_id AND ((d.is_to_send"                                  \
              "  AND d.retry_after IS DISTINCT FROM 'infinity') OR d.lease_until > $4))",          \
              ", is_tried = true")

static QueuePlan ripen_plan = {.sql = RIPEN_SQL("ctms.pending_acoustic"),
                               .arg_count = 2,
                               .arg_types = {TIMESTAMPTZOID, INT8OID}};

static QueuePlan claim_plan = {
    .sql = QUEUE_CLAIM_SQL("q.retry < $3"),
    .arg_count = 5,
    .arg_types = {TEXTOID, INT8OID, INT4OID, TIMESTAMPTZOID, INTERVALOID}};

static QueuePlan claim_onwards_plan = {
    .sql = QUEUE_CLAIM_SQL("q.retry = 0 AND $3 > 0 AND q.create_timestamp >= $6"),
    .arg_count = 6,
    .arg_types = {TEXTOID, INT8OID, INT4OID, TIMESTAMPTZOID, INTERVALOID, TIMESTAMPTZOID}};

static QueuePlan ripen_deleted_plan = {.sql = RIPEN_SQL("ctms.acoustic_deleted_contact"),
                                       .arg_count = 2,
                                       .arg_types = {TIMESTAMPTZOID, INT8OID}};

static QueuePlan claim_deleted_plan = {
    .sql = CLAIM_SQL("ctms.acoustic_deleted_contact", "'deleted'", "q.is_to_send AND q.retry < $3",
                     ", lease_generation = p.generation"),
    .arg_count = 5,
    .arg_types = {TEXTOID, INT8OID, INT4OID, TIMESTAMPTZOID, INTERVALOID}};

/* ---- claiming by SQL -------------------------------------------------------------- */

/* Adds the rows that a claiming statement returned. */
static void
take_rows(Claim *claim, uint64 count)
{
    for (uint64 i = 0; i < count; i++) {
        ClaimedRow *row = &claim->rows[claim->count++];
        bool is_null[5];
        Datum values[5];

        heap_deform_tuple(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, values, is_null);
        row->email_id = *DatumGetUUIDP(values[0]);
        row->generation = DatumGetInt64(values[1]);
        row->retry = DatumGetInt32(values[2]);
        row->state = TextDatumGetCString(values[3]);
        row->create_timestamp = DatumGetTimestampTz(values[4]);
    }
    SPI_freetuptable(SPI_tuptable);
}

/* Claims as many rows as there is room for. */
static void
run_claim(Claim *claim, QueuePlan *plan, const TimestampTz *from)
{
    Datum room = Int64GetDatum(claim->batch_limit - claim->count);
    Datum args[] = {claim->agent,
                    room,
                    Int32GetDatum(claim->retry_limit),
                    TimestampTzGetDatum(claim->now),
                    claim->lease,
                    TimestampTzGetDatum(from ? *from : 0)};

    take_rows(claim, queue_run_plan(plan, args, NULL, SPI_OK_SELECT));
}

static void
run_ripen(Claim *claim, QueuePlan *plan)
{
    queue_run_plan(
        plan,
        (Datum[]){TimestampTzGetDatum(claim->now), Int64GetDatum(claim->batch_limit + RIPE_ROWS)},
        NULL, SPI_OK_UPDATE);
}

static void
claim_by_sql(Claim *claim, const TimestampTz *from)
{
    int level = give_way_limit_waits();

    if (from) {
        run_claim(claim, &claim_onwards_plan, from);
    } else {
        run_ripen(claim, &ripen_plan);
        run_claim(claim, &claim_plan, NULL);
    }
    AtEOXact_GUC(true, level);
}

/* Claims deleted contacts, as many as there is room for. */
static void
claim_deleted(Claim *claim)
{
    int level;

    if (claim->count >= claim->batch_limit ||
        !queue_is_table_used(queue_relations()->deleted_contacts))
        return;
    level = give_way_limit_waits();
    run_ripen(claim, &ripen_deleted_plan);
    run_claim(claim, &claim_deleted_plan, NULL);
    AtEOXact_GUC(true, level);
}

/* ---- claiming --------------------------------------------------------------------- */

static void
claim_waiting(Claim *claim, const TimestampTz *from)
{
    if (!direct_claim(claim, from))
        claim_by_sql(claim, from);
    /* The next claim may begin here. */
    if (claim->count > 0 && claim->rows[0].retry == 0)
        found_at = claim->rows[0].create_timestamp;
    else if (!from)
        found_at = claim->now;
}

static void
claim_from_beginning(Claim *claim)
{
    int64 pages = pgBufferUsage.shared_blks_hit + pgBufferUsage.shared_blks_read;
    TimestampTz end;

    claim_waiting(claim, NULL);
    pages = pgBufferUsage.shared_blks_hit + pgBufferUsage.shared_blks_read - pages;
    end = GetCurrentTimestamp();
    is_way_long = is_warm && pages > LONG_WAY_PAGES + PAGES_PER_ROW * (int64)claim->count;
    is_warm = true;
    next_whole_way =
        end + Max(WHOLE_WAY_INTERVAL_MS * INT64CONST(1000), WHOLE_WAY_SHARE * (end - claim->now));
    claim_deleted(claim);
}

static void
claim_batch(Claim *claim)
{
    claim->now = GetCurrentTimestamp();
    if (is_way_long && claim->now < next_whole_way) {
        TimestampTz from = TimestampTzPlusMilliseconds(found_at, -LATE_COMMIT_MS);

        claim_waiting(claim, &from);
    } else {
        queue_resolve_left_keys();
        claim_from_beginning(claim);
    }
}

/*
 * Looks for rows that were committed while the first look found nothing. The first look may have
 * locked rows that it then skipped, because another agent took them at that moment. So from here
 * on nothing may wait for a row. If Stripe keys were left in the meantime, another claim is
 * needed at once to resolve them: agents are woken for it.
 */
static void
claim_again(Claim *claim)
{
    claim->now = GetCurrentTimestamp();
    claim_from_beginning(claim);
    if (queue_has_left_stripe_keys())
        wake_agents();
}

static void
put_rows(const Claim *claim, ReturnSetInfo *result)
{
    bool is_null[4] = {false};

    for (int i = 0; i < claim->count; i++) {
        ClaimedRow *row = &claim->rows[i];
        Datum values[4] = {UUIDPGetDatum(&row->email_id), Int64GetDatum(row->generation),
                           Int32GetDatum(row->retry), CStringGetTextDatum(row->state)};

        tuplestore_putvalues(result->setResult, result->setDesc, values, is_null);
    }
}

/* ctms.claim_acoustic(agent, batch_limit, retry_limit, lease) → rows, in sending order */
Datum
ctms_claim_acoustic(PG_FUNCTION_ARGS)
{
    Claim claim = {.agent = PG_GETARG_DATUM(0),
                   .batch_limit = PG_GETARG_INT32(1),
                   .retry_limit = PG_GETARG_INT32(2),
                   .lease = PG_GETARG_DATUM(3)};

    if (VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(0)) == 0)
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                errmsg("the name of an agent must not be empty"));
    queue_check_retry_limit(claim.retry_limit);
    if (claim.batch_limit < 1 || claim.batch_limit > MAX_BATCH)
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                errmsg("the batch limit must be between 1 and %d", MAX_BATCH));
    InitMaterializedSRF(fcinfo, 0);

    SPI_connect();
    claim.rows = palloc(claim.batch_limit * sizeof(ClaimedRow));
    claim_batch(&claim);
    if (claim.count == 0 && wake_arm_agent())
        claim_again(&claim);
    /*
     * The agent sends as soon as this commit is done. If a crash could still undo it, nobody would
     * know that Acoustic may have the contacts, or would tell a late outcome from that of another
     * claim.
     */
    if (claim.count > 0)
        ForceSyncCommit();
    put_rows(&claim, (ReturnSetInfo *)fcinfo->resultinfo);
    SPI_finish();
    return (Datum)0;
}
