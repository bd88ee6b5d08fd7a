/*
 * queue/flush.c: writes the queue, once per transaction, at its commit.
 *
 * By then all that the transaction changed is known (queue/feed.c). Every transaction
 * locks queue rows in order of email_id and nothing of ours after them, so the queue can
 * not deadlock. Contacts that the transaction deleted are left out.
 *
 * The rows are written below the executor (queue/direct.c) where that can be, else by the
 * statement below.
 */
#include "extension/base/compat.h"

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "extension/queue/direct.h"
#include "extension/queue/feed.h"
#include "extension/queue/flush.h"
#include "extension/queue/plan.h"
#include "extension/queue/relations.h"
#include "extension/queue/stripe.h"
#include "extension/queue/wake.h"

/* Contacts per statement: bounds the memory of a bulk change, costs nothing for others. */
#define CONTACTS_PER_STATEMENT 10000

bool ctms_is_feed_enabled = true;

/*
 * A contact that waits already keeps its place. One that has failed starts afresh, behind
 * those that wait for their first attempt: its failures say nothing about its new content. A live
 * lease is left alone, so that no second agent sends next to the first; the new generation makes
 * the first one's finish leave the row. The transaction number serves as generation: a row that is
 * removed and comes back never repeats one. A row that was never claimed is only locked, as
 * DO UPDATE does where WHERE is false: nobody knows its generation, and who claims it later reads
 * what was committed with the lock.
 */
static QueuePlan enqueue_plan = {
    .sql = "WITH contact AS MATERIALIZED ("
           " SELECT email_id FROM ctms.emails WHERE email_id = ANY ($1)"
           " ORDER BY email_id FOR KEY SHARE),"
           "enqueued AS ("
           " INSERT INTO ctms.pending_acoustic AS p"
           "  (email_id, generation, create_timestamp, update_timestamp)"
           " SELECT email_id, $2, $3, $3 FROM contact ORDER BY email_id"
           " ON CONFLICT (email_id) DO UPDATE SET"
           "  generation = GREATEST(p.generation + 1, EXCLUDED.generation),"
           "  retry = 0, last_error = NULL, retry_after = NULL,"
           "  create_timestamp = CASE WHEN p.retry > 0 THEN EXCLUDED.create_timestamp"
           "                     ELSE p.create_timestamp END,"
           "  update_timestamp = EXCLUDED.update_timestamp"
           " WHERE p.is_tried OR p.retry > 0 OR p.retry_after IS NOT NULL"
           "  OR p.lease_owner IS NOT NULL)"
           "SELECT FROM contact",
    .arg_count = 3,
    .arg_types = {UUIDARRAYOID, INT8OID, TIMESTAMPTZOID}};

static uint64
enqueue_by_sql(FeedKeys *contacts, int64 generation)
{
    Datum now = TimestampTzGetDatum(GetCurrentTimestamp());
    uint64 enqueued = 0;
    QueueOwner saved;

    ctms_start_queue_sql(&saved);
    while (contacts->taken < contacts->count) {
        ArrayType *email_ids = ctms_feed_take(contacts, CONTACTS_PER_STATEMENT);

        CHECK_FOR_INTERRUPTS();
        enqueued += ctms_run_queue_plan(
            &enqueue_plan, (Datum[]){PointerGetDatum(email_ids), Int64GetDatum(generation), now},
            NULL, SPI_OK_SELECT);
        SPI_freetuptable(SPI_tuptable);
        pfree(email_ids);
    }
    ctms_end_queue_sql(&saved);
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
    bool is_any = false;

    /* The extension may have been dropped by the same transaction. */
    if (!ctms_queue_relations()) {
        ctms_feed_forget();
        return;
    }
    /* A trigger that somebody put on the queue may change contacts again. */
    while (ctms_feed_is_owed()) {
        is_any |= ctms_resolve_stripe_keys();
        ctms_feed_detach(FEED_HELD, &held);
        ctms_feed_detach(FEED_CONTACT, &loose);
        if (ctms_feed_has_deletions()) {
            ctms_feed_merge(&loose, &held);
            held.count = 0;
        }
        is_any |= ctms_enqueue_contacts(&held, &loose) > 0;
    }
    if (is_any && may_notify)
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
