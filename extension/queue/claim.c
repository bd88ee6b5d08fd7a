/*
 * queue/claim.c: leases queue rows to an agent.
 *
 * There are three kinds of rows: contacts of the live lane, contacts of the bulk lane, and deleted
 * contacts. The first come first. The others must not wait for as long as there are any of these,
 * so each claims its share before them (queue/claim_share.c). What the live lane leaves goes to
 * deletions, because a person waits for them, and then to the bulk lane. Each kind has its part of
 * an index, with the free rows first, in the order of claiming, and its own place where a scan
 * begins (queue/claim_way.c).
 */
#include "extension/base/compat.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "extension/base/result_row.h"
#include "extension/queue/agent.h"
#include "extension/queue/claim.h"
#include "extension/queue/claim_share.h"
#include "extension/queue/claim_way.h"
#include "extension/queue/give_way.h"
#include "extension/queue/plan.h"
#include "extension/queue/relations.h"
#include "extension/queue/stripe.h"
#include "extension/queue/wake.h"

#define MAX_BATCH 10000

/* What the session knows about each kind of rows. */
static ClaimWay live_way, bulk_way, deletions_way;
static ClaimShare bulk_share, deletions_share;

PG_FUNCTION_INFO_V1(ctms_claim_acoustic);

/*
 * Frees failed rows in the order in which their waits end, so that they are mixed with the others
 * and do not all come before or after them.
 */
#define RIPEN_SQL(table, condition)                                                                \
    "WITH ripe AS MATERIALIZED ("                                                                  \
    " SELECT email_id FROM " table " WHERE " condition                                             \
    "retry_after <= $1 ORDER BY retry_after NULLS FIRST LIMIT $2 FOR UPDATE SKIP LOCKED)"          \
    "UPDATE " table " AS p SET retry_after = NULL FROM ripe WHERE p.email_id = ripe.email_id"

/*
 * Leased rows are skipped one by one; there are never more of them than the agents hold. So are
 * those of an earlier look of the same claim, even if a lease of no time has ended already.
 */
#define CLAIM_SQL(table, state, condition, change)                                                 \
    "WITH free AS MATERIALIZED ("                                                                  \
    " SELECT q.email_id, " state " AS state FROM " table " AS q"                                   \
    " WHERE " condition " AND q.retry_after IS NULL"                                               \
    "  AND (q.lease_until IS NULL OR (q.lease_until <= $4 AND q.lease_until <> $4 + $5))"          \
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

/* From a place on: rows that have failed are left out, and those that are older than $6. */
#define ONWARDS "q.retry = 0 AND $3 > 0 AND q.create_timestamp >= $6"
#define QUEUE "ctms.pending_acoustic"
#define DELETED "ctms.acoustic_deleted_contact"

static QueuePlan ripen_plan = {.sql = RIPEN_SQL(QUEUE, "is_bulk = $3 AND "),
                               .arg_count = 3,
                               .arg_types = {TIMESTAMPTZOID, INT8OID, BOOLOID}};

/* agent, limit, retry_limit, now, lease, from, is_bulk */
#define CLAIM_TYPES                                                                                \
    {                                                                                              \
        TEXTOID, INT8OID, INT4OID, TIMESTAMPTZOID, INTERVALOID, TIMESTAMPTZOID, BOOLOID            \
    }

static QueuePlan claim_plan = {.sql = QUEUE_CLAIM_SQL("q.is_bulk = $7 AND q.retry < $3"),
                               .arg_count = 7,
                               .arg_types = CLAIM_TYPES};

static QueuePlan claim_onwards_plan = {.sql = QUEUE_CLAIM_SQL("q.is_bulk = $7 AND " ONWARDS),
                                       .arg_count = 7,
                                       .arg_types = CLAIM_TYPES};

static QueuePlan ripen_deleted_plan = {
    .sql = RIPEN_SQL(DELETED, ""), .arg_count = 2, .arg_types = {TIMESTAMPTZOID, INT8OID}};

#define DELETED_CLAIM_SQL(condition)                                                               \
    CLAIM_SQL(DELETED, "'deleted'", "q.is_to_send AND " condition,                                 \
              ", lease_generation = p.generation")

static QueuePlan claim_deleted_plan = {
    .sql = DELETED_CLAIM_SQL("q.retry < $3"), .arg_count = 5, .arg_types = CLAIM_TYPES};

static QueuePlan claim_deleted_onwards_plan = {
    .sql = DELETED_CLAIM_SQL(ONWARDS), .arg_count = 6, .arg_types = CLAIM_TYPES};

/* ---- claiming by SQL -------------------------------------------------------------- */

/* Adds the rows that a claiming statement returned. */
static void
take_rows(Claim *claim, uint64 count, bool is_bulk)
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
        row->is_bulk = is_bulk;
    }
    SPI_freetuptable(SPI_tuptable);
}

/* The plans are those of the queue, or those of deletions. */
static void
claim_by_sql(Claim *claim, const ClaimLook *look, QueuePlan *ripen, QueuePlan *whole,
             QueuePlan *onwards)
{
    Datum is_bulk = BoolGetDatum(look->is_bulk);
    Datum now = TimestampTzGetDatum(claim->now);
    Datum args[] = {claim->agent,
                    Int64GetDatum(look->limit),
                    Int32GetDatum(claim->retry_limit),
                    now,
                    claim->lease,
                    TimestampTzGetDatum(look->from ? *look->from : 0),
                    is_bulk};
    int level = give_way_limit_waits();

    if (look->makes_ripe)
        queue_run_plan(ripen, (Datum[]){now, Int64GetDatum(look->limit + RIPE_ROWS), is_bulk}, NULL,
                       SPI_OK_UPDATE);
    take_rows(claim, queue_run_plan(look->from ? onwards : whole, args, NULL, SPI_OK_SELECT),
              look->is_bulk);
    AtEOXact_GUC(true, level);
}

/* ---- claiming --------------------------------------------------------------------- */

typedef enum ClaimKind { CLAIM_LIVE, CLAIM_BULK, CLAIM_DELETIONS } ClaimKind;

/* What one claim does with one kind of rows. */
typedef struct ClaimPart {
    ClaimKind kind;
    ClaimWay *way;
    bool is_whole; /* looks from the beginning */
    bool has_looked;
    bool is_short; /* there are no more free rows */
    int taken;
} ClaimPart;

/* Claims up to "limit" rows, as far as there is room. */
static void
claim_part(Claim *claim, ClaimPart *part, int limit)
{
    int before = claim->count;
    bool is_onwards = part->has_looked ? part->way->is_long : !part->is_whole;
    bool is_first_whole = !part->has_looked && part->is_whole;
    ClaimLook look = {.is_bulk = part->kind == CLAIM_BULK,
                      .limit = Min(limit, claim->batch_limit - claim->count),
                      .makes_ripe = is_first_whole};
    ClaimWalk walk;

    if (look.limit <= 0 || part->is_short)
        return;
    walk = claim_way_begin(part->way, claim, is_first_whole);
    look.from = is_onwards ? &walk.from : NULL;
    if (part->kind == CLAIM_DELETIONS)
        claim_by_sql(claim, &look, &ripen_deleted_plan, &claim_deleted_plan,
                     &claim_deleted_onwards_plan);
    else if (!direct_claim(claim, &look))
        claim_by_sql(claim, &look, &ripen_plan, &claim_plan, &claim_onwards_plan);
    claim_way_end(&walk, claim);
    part->has_looked = true;
    part->taken += claim->count - before;
    part->is_short = claim->count - before < look.limit;
}

static ClaimPart
begin_part(const Claim *claim, ClaimKind kind, ClaimWay *way, bool is_whole)
{
    return (ClaimPart){
        .kind = kind, .way = way, .is_whole = is_whole || claim_way_is_whole_due(way, claim->now)};
}

static int
compare_rows(const void *a, const void *b)
{
    const ClaimedRow *x = a;
    const ClaimedRow *y = b;

    if (x->is_bulk != y->is_bulk)
        return x->is_bulk ? 1 : -1;
    if (x->retry != y->retry)
        return x->retry < y->retry ? -1 : 1;
    if (x->create_timestamp != y->create_timestamp)
        return x->create_timestamp < y->create_timestamp ? -1 : 1;
    return memcmp(&x->email_id, &y->email_id, UUID_LEN);
}

/* Claims a batch. With "is_whole", all scans begin at the beginning. */
static void
claim_batch(Claim *claim, bool is_whole)
{
    int batch = claim->batch_limit;
    ClaimPart live = begin_part(claim, CLAIM_LIVE, &live_way, is_whole);
    ClaimPart bulk = begin_part(claim, CLAIM_BULK, &bulk_way, is_whole);
    ClaimPart deletions = begin_part(claim, CLAIM_DELETIONS, &deletions_way, is_whole);

    deletions.is_short = !queue_is_table_used(queue_relations()->deleted_contacts);
    claim_part(claim, &deletions, claim_share_due(&deletions_share, batch));
    claim_part(claim, &bulk, Min(claim_share_due(&bulk_share, batch), claim->bulk_limit));
    claim_part(claim, &live, batch);
    claim_part(claim, &deletions, batch);
    claim_part(claim, &bulk, claim->bulk_limit - bulk.taken);
    claim_share_settle(&deletions_share, batch, claim->count, deletions.taken, deletions.is_short);
    claim_share_settle(&bulk_share, batch, claim->count, bulk.taken, bulk.is_short);
    qsort(claim->rows, claim->count, sizeof(ClaimedRow), compare_rows);
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
    claim_batch(claim, true);
    if (queue_has_left_stripe_keys())
        wake_agents();
}

static void
put_rows(const Claim *claim, ReturnSetInfo *result)
{
    bool is_null[5] = {false};

    for (int i = 0; i < claim->count; i++) {
        ClaimedRow *row = &claim->rows[i];
        Datum values[5] = {UUIDPGetDatum(&row->email_id), Int64GetDatum(row->generation),
                           Int32GetDatum(row->retry), CStringGetTextDatum(row->state),
                           BoolGetDatum(row->is_bulk)};

        result_row_put(result, values, is_null, lengthof(values));
    }
}

static void
check_limits(const Claim *claim)
{
    queue_check_retry_limit(claim->retry_limit);
    if (claim->batch_limit < 1 || claim->batch_limit > MAX_BATCH)
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                errmsg("the batch limit must be between 1 and %d", MAX_BATCH));
    if (claim->bulk_limit < 0)
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                errmsg("the bulk limit must not be negative"));
}

/* ctms.claim_acoustic(agent, batch_limit, retry_limit, lease, bulk_limit) → rows, in sending order
 */
Datum
ctms_claim_acoustic(PG_FUNCTION_ARGS)
{
    Claim claim = {0};

    InitMaterializedSRF(fcinfo, 0);
    for (int i = 0; i < 4; i++)
        if (PG_ARGISNULL(i))
            return (Datum)0;
    claim.agent = PG_GETARG_DATUM(0);
    claim.batch_limit = PG_GETARG_INT32(1);
    claim.retry_limit = PG_GETARG_INT32(2);
    claim.lease = PG_GETARG_DATUM(3);
    claim.bulk_limit = PG_ARGISNULL(4) ? claim.batch_limit : PG_GETARG_INT32(4);
    if (VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(0)) == 0)
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                errmsg("the name of an agent must not be empty"));
    check_limits(&claim);

    SPI_connect();
    claim.rows = palloc(claim.batch_limit * sizeof(ClaimedRow));
    claim.now = GetCurrentTimestamp();
    if (claim_way_is_whole_due(&live_way, claim.now))
        queue_resolve_left_keys();
    claim_batch(&claim, false);
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
