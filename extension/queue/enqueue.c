/*
 * queue/enqueue.c: enqueues contacts at once.
 *
 * It is called at commit for the contacts that a transaction has changed (queue/flush.c), for the
 * contacts that left Stripe keys turn out to belong to (queue/stripe.c), and for operators
 * (queue/admin.c).
 *
 * The rows are written below the executor (queue/direct.c) where possible, otherwise by the
 * statement below.
 */
#include "extension/base/compat.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "extension/queue/direct.h"
#include "extension/queue/enqueue.h"
#include "extension/queue/left.h"
#include "extension/queue/plan.h"

/*
 * Contacts per statement. This limits the memory of a bulk change and costs nothing in other
 * cases.
 */
#define CONTACTS_PER_STATEMENT 10000

static QueuePlan hold_plan = {
    .sql = "WITH held AS MATERIALIZED ("
           " SELECT email_id FROM ctms.emails WHERE email_id = ANY ($1)"
           " ORDER BY email_id FOR KEY SHARE SKIP LOCKED)"
           "SELECT e.email_id::uuid, h.email_id IS NOT NULL FROM ctms.emails AS e"
           " LEFT JOIN held AS h ON h.email_id = e.email_id"
           " WHERE e.email_id = ANY ($1) ORDER BY e.email_id",
    .arg_count = 1,
    .arg_types = {UUIDARRAYOID},
    .sees_latest = true};

/*
 * A contact that is already waiting keeps its place. A contact that has failed starts again,
 * behind those that wait for their first attempt, because its failures say nothing about its new
 * content. A live lease is left alone, so that a second agent does not send the same contact at
 * the same time. The new generation makes sure that the row stays when the first agent finishes
 * it. A contact that a file holds (queue/bulk.c) stays held: it waits for the end of the run.
 *
 * What was waiting in the bulk lane and is live now moves up, as if it were new: its place among
 * the others says when the wave came. Nothing moves from the live lane to the bulk lane.
 *
 * A row that was never claimed, and does not move up, is only locked (DO UPDATE locks the row even
 * if its WHERE is false). That is enough: no agent knows its generation, and an agent that claims
 * it later reads what was committed with the lock.
 */
static QueuePlan enqueue_plan = {
    .sql = "INSERT INTO ctms.pending_acoustic AS p"
           " (email_id, create_timestamp, update_timestamp, is_bulk)"
           " SELECT email_id, $2, $2, is_bulk FROM unnest($1, $3) AS held (email_id, is_bulk)"
           " ORDER BY email_id"
           " ON CONFLICT (email_id) DO UPDATE SET"
           "  generation = EXCLUDED.generation,"
           "  retry = 0, last_error = NULL,"
           "  retry_after = CASE WHEN p.retry_after = p.lease_until THEN p.retry_after END,"
           "  create_timestamp = CASE WHEN p.retry > 0 OR (p.is_bulk AND NOT EXCLUDED.is_bulk)"
           "                     THEN EXCLUDED.create_timestamp ELSE p.create_timestamp END,"
           "  update_timestamp = EXCLUDED.update_timestamp,"
           "  is_bulk = p.is_bulk AND EXCLUDED.is_bulk"
           " WHERE p.is_tried OR p.retry > 0 OR p.retry_after IS NOT NULL"
           "  OR p.lease_owner IS NOT NULL OR (p.is_bulk AND NOT EXCLUDED.is_bulk)",
    .arg_count = 3,
    .arg_types = {UUIDARRAYOID, TIMESTAMPTZOID, BOOLARRAYOID},
    .sees_latest = true,
    .is_retried = true};

/* Sorts the contacts of the last statement into those that are held and those that are not. */
static void
take_held(uint64 count, FeedKeys *held, FeedKeys *busy)
{
    for (uint64 i = 0; i < count; i++) {
        HeapTuple row = SPI_tuptable->vals[i];
        TupleDesc desc = SPI_tuptable->tupdesc;
        bool is_null;
        Datum email_id = SPI_getbinval(row, desc, 1, &is_null);

        feed_keys_add(DatumGetBool(SPI_getbinval(row, desc, 2, &is_null)) ? held : busy,
                      DatumGetUUIDP(email_id));
    }
}

static void
hold_by_sql(FeedKeys *contacts, FeedKeys *busy)
{
    FeedKeys asked = *contacts;
    MemoryContext caller = CurrentMemoryContext;
    QueueOwner saved;

    *contacts = (FeedKeys){.kind = FEED_CONTACT};
    queue_start_sql(&saved);
    while (asked.taken < asked.count) {
        ArrayType *email_ids = feed_take(&asked, CONTACTS_PER_STATEMENT);
        uint64 count =
            queue_run_plan(&hold_plan, (Datum[]){PointerGetDatum(email_ids)}, NULL, SPI_OK_SELECT);
        MemoryContext procedure = MemoryContextSwitchTo(caller);

        CHECK_FOR_INTERRUPTS();
        take_held(count, contacts, busy);
        MemoryContextSwitchTo(procedure);
        SPI_freetuptable(SPI_tuptable);
        pfree(email_ids);
    }
    queue_end_sql(&saved);
}

/* For each of the contacts that will be taken next: whether it waits in the bulk lane. */
static ArrayType *
next_lanes(const FeedKeys *contacts, const Lane *lane)
{
    const pg_uuid_t *ids = (const pg_uuid_t *)contacts->keys + contacts->taken;
    int count = Min(contacts->count - contacts->taken, CONTACTS_PER_STATEMENT);
    Datum *are_bulk = palloc(count * sizeof(Datum));
    ArrayType *lanes;

    for (int i = 0; i < count; i++)
        are_bulk[i] = BoolGetDatum(lane_is_bulk(lane, &ids[i]));
    lanes = construct_array(are_bulk, count, BOOLOID, 1, true, TYPALIGN_CHAR);
    pfree(are_bulk);
    return lanes;
}

static void
enqueue_by_sql(FeedKeys *contacts, const Lane *lane)
{
    Datum now = TimestampTzGetDatum(GetCurrentTimestamp());
    QueueOwner saved;

    queue_start_sql(&saved);
    while (contacts->taken < contacts->count) {
        ArrayType *lanes = next_lanes(contacts, lane);
        ArrayType *email_ids = feed_take(contacts, CONTACTS_PER_STATEMENT);

        CHECK_FOR_INTERRUPTS();
        queue_run_plan(&enqueue_plan,
                       (Datum[]){PointerGetDatum(email_ids), now, PointerGetDatum(lanes)}, NULL,
                       SPI_OK_INSERT);
        pfree(email_ids);
        pfree(lanes);
    }
    queue_end_sql(&saved);
}

void
enqueue_hold(FeedKeys *contacts, FeedKeys *busy)
{
    *busy = (FeedKeys){.kind = FEED_CONTACT};
    if (contacts->count == 0)
        return;
    /*
     * When a transaction commits, no command ends after the last statement, so its effects are not
     * visible yet. Without this, contacts whose rows it rewrote would be seen in their old version
     * and taken for deleted.
     */
    CommandCounterIncrement();
    if (!direct_hold(contacts, busy))
        hold_by_sql(contacts, busy);
}

void
enqueue_held(FeedKeys *contacts, const Lane *lane)
{
    if (contacts->count > 0 && !direct_enqueue(contacts, lane))
        enqueue_by_sql(contacts, lane);
}

static void
leave_busy(const FeedKeys *busy, const Lane *lane)
{
    const pg_uuid_t *ids = (const pg_uuid_t *)busy->keys;
    LeftKeys left = {0};

    for (int64 i = 0; i < busy->count; i++)
        left_add(&left, FEED_CONTACT,
                 CStringGetTextDatum(
                     DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&ids[i])))),
                 lane_is_bulk(lane, &ids[i]));
    left_write(&left);
}

/* The order is that of locks: contacts, keys that are left, queue rows. */
uint64
enqueue_contacts(FeedKeys *contacts, const Lane *lane)
{
    FeedKeys busy;

    enqueue_hold(contacts, &busy);
    leave_busy(&busy, lane);
    enqueue_held(contacts, lane);
    return contacts->count + busy.count;
}
