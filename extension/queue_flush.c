/*
 * queue_flush.c: writes the queue, once per transaction, at its commit.
 *
 * By then all that the transaction changed is known (queue_feed.c). Every transaction
 * locks queue rows in order of email_id and nothing of ours after them, so the queue can
 * not deadlock. Contacts that the transaction deleted are left out.
 *
 * The rows are written below the executor (queue_direct.c) where that can be, else by the
 * statement below.
 */
#include "compat.h"

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "queue_direct.h"
#include "queue_feed.h"
#include "queue_flush.h"
#include "queue_plan.h"
#include "queue_relations.h"
#include "queue_wake.h"

/* Contacts per statement: bounds the memory of a bulk change, costs nothing for others. */
#define CONTACTS_PER_STATEMENT 10000

bool ctms_is_feed_enabled = true;

/*
 * A contact that waits already keeps its place. One that has failed starts afresh, behind
 * those that wait for their first attempt: its failures say nothing about its new content. A live
 * lease is left alone, so that no second agent sends next to the first; the new generation makes
 * the first one's finish leave the row. The transaction number serves as generation: a row that is
 * removed and comes back never repeats one.
 */
static QueuePlan enqueue_plan = {
    .sql = "INSERT INTO ctms.pending_acoustic AS p"
           " (email_id, generation, create_timestamp, update_timestamp)"
           " SELECT e.email_id, $2, $3, $3"
           " FROM unnest($1) AS changed (email_id) JOIN ctms.emails AS e USING (email_id)"
           " ORDER BY e.email_id"
           " ON CONFLICT (email_id) DO UPDATE SET"
           "  generation = GREATEST(p.generation + 1, EXCLUDED.generation),"
           "  retry = 0, last_error = NULL, retry_after = NULL,"
           "  create_timestamp = CASE WHEN p.retry > 0 THEN EXCLUDED.create_timestamp"
           "                     ELSE p.create_timestamp END,"
           "  update_timestamp = EXCLUDED.update_timestamp",
    .arg_count = 3,
    .arg_types = {UUIDARRAYOID, INT8OID, TIMESTAMPTZOID}};

/*
 * From Stripe's keys to contacts. Nothing that the transaction holds keeps these contacts
 * from being deleted before it commits, hence the row locks.
 */
static QueuePlan resolve_plan = {
    .sql = "SELECT e.email_id FROM ctms.emails AS e WHERE e.email_id IN ("
           " SELECT f.email_id FROM ctms.fxa AS f WHERE f.fxa_id = ANY ($1)"
           " UNION ALL"
           " SELECT f.email_id FROM ctms.stripe_customer AS c JOIN ctms.fxa AS f USING (fxa_id)"
           " WHERE c.stripe_id = ANY ($2)"
           " UNION ALL"
           " SELECT f.email_id FROM ctms.stripe_subscription AS s"
           " JOIN ctms.stripe_customer AS c ON c.stripe_id = s.stripe_customer_id"
           " JOIN ctms.fxa AS f USING (fxa_id)"
           " WHERE s.stripe_id = ANY ($3)"
           " UNION ALL"
           " SELECT f.email_id FROM ctms.stripe_subscription_item AS i"
           " JOIN ctms.stripe_subscription AS s ON s.stripe_id = i.stripe_subscription_id"
           " JOIN ctms.stripe_customer AS c ON c.stripe_id = s.stripe_customer_id"
           " JOIN ctms.fxa AS f USING (fxa_id)"
           " WHERE i.stripe_price_id = ANY ($4)"
           " UNION ALL"
           " SELECT f.email_id FROM ctms.stripe_invoice AS i"
           " JOIN ctms.stripe_customer AS c ON c.stripe_id = i.stripe_customer_id"
           " JOIN ctms.fxa AS f USING (fxa_id)"
           " WHERE i.stripe_id = ANY ($5))"
           " ORDER BY e.email_id FOR KEY SHARE OF e",
    .arg_count = 5,
    .arg_types = {TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID}};

/* Statements run with a snapshot of their own, as the queue's owner. */
static void
start_sql(QueueOwner *saved)
{
    ctms_become_owner(saved);
    PushActiveSnapshot(GetTransactionSnapshot());
    SPI_connect();
}

static void
end_sql(const QueueOwner *saved)
{
    SPI_finish();
    PopActiveSnapshot();
    ctms_end_owner(saved);
}

/* Turns the Stripe keys of the feed into contacts of the feed. */
static void
resolve_stripe_keys(void)
{
    FeedKeys keys[FEED_KINDS];
    Datum args[FEED_KINDS - FEED_FXA];
    bool is_any = false;
    uint64 found;
    QueueOwner saved;

    for (int kind = FEED_FXA; kind < FEED_KINDS; kind++) {
        ctms_feed_detach(kind, &keys[kind]);
        is_any = is_any || keys[kind].count > 0;
    }
    if (!is_any)
        return;
    for (int kind = FEED_FXA; kind < FEED_KINDS; kind++)
        args[kind - FEED_FXA] = PointerGetDatum(ctms_feed_take(&keys[kind], INT_MAX));
    start_sql(&saved);
    found = ctms_run_queue_plan(&resolve_plan, args, NULL, SPI_OK_SELECT);
    for (uint64 i = 0; i < found; i++) {
        bool is_null;

        ctms_feed_add(FEED_HELD,
                      SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &is_null));
    }
    end_sql(&saved);
}

static uint64
enqueue_by_sql(FeedKeys *contacts, int64 generation)
{
    Datum now = TimestampTzGetDatum(GetCurrentTimestamp());
    uint64 enqueued = 0;
    QueueOwner saved;

    start_sql(&saved);
    while (contacts->taken < contacts->count) {
        ArrayType *email_ids = ctms_feed_take(contacts, CONTACTS_PER_STATEMENT);

        CHECK_FOR_INTERRUPTS();
        enqueued += ctms_run_queue_plan(
            &enqueue_plan, (Datum[]){PointerGetDatum(email_ids), Int64GetDatum(generation), now},
            NULL, SPI_OK_INSERT);
        pfree(email_ids);
    }
    end_sql(&saved);
    return enqueued;
}

static uint64
enqueue_directly(DirectQueue *queue, FeedKeys *held, FeedKeys *loose, int64 generation)
{
    pg_uuid_t *ids = (pg_uuid_t *)loose->keys;
    int64 found = 0;

    /* All contacts first, then queue rows: who waits for a contact keeps no queue row. */
    for (int64 i = 0; i < loose->count; i++)
        if (ctms_direct_hold(queue, &ids[i]))
            ids[found++] = ids[i];
    loose->count = found;
    ctms_feed_merge(held, loose);

    ids = (pg_uuid_t *)held->keys;
    for (int64 i = 0; i < held->count; i++)
        ctms_direct_enqueue(queue, &ids[i], generation);
    return held->count;
}

uint64
ctms_enqueue_contacts(FeedKeys *held, FeedKeys *loose)
{
    int64 generation = (int64)U64FromFullTransactionId(GetTopFullTransactionId());
    DirectQueue *queue;
    uint64 enqueued;

    /*
     * No command ends after the last statement: without this, contacts whose rows it rewrote
     * would be seen as they were before, and taken for deleted.
     */
    CommandCounterIncrement();
    queue = ctms_direct_open();
    if (!queue) {
        ctms_feed_merge(held, loose);
        return enqueue_by_sql(held, generation);
    }
    enqueued = enqueue_directly(queue, held, loose, generation);
    ctms_direct_close(queue);
    return enqueued;
}

static void
flush_feed(bool may_notify)
{
    FeedKeys held, loose;
    uint64 enqueued = 0;

    /* The extension may have been dropped by the same transaction. */
    if (!ctms_queue_relations()) {
        ctms_feed_forget();
        return;
    }
    /* A trigger that somebody put on the queue may change contacts again. */
    while (ctms_feed_is_owed()) {
        resolve_stripe_keys();
        ctms_feed_detach(FEED_HELD, &held);
        ctms_feed_detach(FEED_CONTACT, &loose);
        if (ctms_feed_has_deletions()) {
            ctms_feed_merge(&loose, &held);
            held.count = 0;
        }
        enqueued += ctms_enqueue_contacts(&held, &loose);
    }
    if (enqueued > 0 && may_notify)
        ctms_wake_agents();
}

static void
at_transaction_end(XactEvent event, void *arg)
{
    switch (event) {
    case XACT_EVENT_PRE_COMMIT:
    case XACT_EVENT_PRE_PREPARE:
        /* A prepared transaction cannot notify; agents find its contacts by polling. */
        if (ctms_feed_is_owed())
            flush_feed(event == XACT_EVENT_PRE_COMMIT);
        break;
    case XACT_EVENT_COMMIT:
    case XACT_EVENT_ABORT:
    case XACT_EVENT_PREPARE: ctms_feed_forget(); break;
    default: break;
    }
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *arg)
{
    if (event == SUBXACT_EVENT_COMMIT_SUB || event == SUBXACT_EVENT_ABORT_SUB)
        ctms_feed_end_subtransaction(event == SUBXACT_EVENT_COMMIT_SUB);
}

void
ctms_queue_init(void)
{
    DefineCustomBoolVariable(
        "ctms.enqueue", "Whether changes of contacts are enqueued for Acoustic.",
        "Turned off for imports: what changes meanwhile is not sent until it changes again or "
        "is enqueued with ctms.enqueue_contacts().",
        &ctms_is_feed_enabled, true, PGC_SUSET, 0, NULL, NULL, NULL);
    RegisterXactCallback(at_transaction_end, NULL);
    RegisterSubXactCallback(at_subtransaction_end, NULL);
}
