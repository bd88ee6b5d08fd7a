/*
 * queue/flush.c: writes the queue once per transaction, when it commits.
 *
 * By then everything that the transaction changed is known (queue/feed.c). Every transaction
 * locks queue rows in order of email_id, and locks no other row of ours after them, so the queue
 * cannot cause a deadlock. The rows themselves are written by queue/enqueue.c.
 *
 * The moment is that of deferred triggers and constraints: before any extension commits elsewhere
 * (postgres_fdw does in its pre-commit callback), and in time for other people's deferred
 * triggers on the queue. PostgreSQL calls the trigger ctms._flush_queue() then, because the first
 * change of a transaction queues it (base/commit_trigger.c).
 */
#include "extension/base/compat.h"

#include "access/xact.h"
#include "commands/trigger.h"
#include "utils/guc.h"

#include "extension/base/commit_trigger.h"
#include "extension/base/trigger_check.h"
#include "extension/queue/enqueue.h"
#include "extension/queue/feed.h"
#include "extension/queue/flush.h"
#include "extension/queue/lane.h"
#include "extension/queue/left.h"
#include "extension/queue/plan.h"
#include "extension/queue/relations.h"
#include "extension/queue/stripe.h"
#include "extension/queue/wake.h"

bool feed_is_enabled = true;

/* The nesting level of the (sub)transaction that has scheduled the trigger; 0 when none has. */
static int scheduled_level = 0;

PG_FUNCTION_INFO_V1(ctms__flush_queue);

/* ---- scheduling ---------------------------------------------------------------- */

void
queue_flush_schedule(void)
{
    if (scheduled_level > 0 || !feed_is_owed())
        return;
    commit_trigger_queue(queue_relations()->flush, "_flush_queue");
    scheduled_level = GetCurrentTransactionNestLevel();
}

/* ---- writing ------------------------------------------------------------------- */

/* Enqueues what is in the feed. Returns whether there is anything for agents to do. */
static bool
enqueue_feed(void)
{
    StripeChange stripe;
    FeedKeys changed, contacts;
    Lane lane = {0};
    bool is_any;

    queue_resolve_stripe_keys(&stripe);
    feed_take_all(FEED_CONTACT, &changed);
    lane.is_bulk = lane_is_transaction_bulk(stripe.left.count);
    if (lane.is_bulk)
        left_make_bulk(&stripe.left);
    left_write(&stripe.left);
    contacts = changed;
    if (stripe.priced.count > 0) {
        feed_keys_unite(&contacts, &changed, &stripe.priced);
        lane = (Lane){.is_bulk = true, .live = lane.is_bulk ? NULL : &changed};
    }
    is_any = stripe.left.count > 0;
    return enqueue_contacts(&contacts, &lane) > 0 || is_any;
}

static void
flush_feed(void)
{
    QueueOwner saved;
    bool was_read_only = XactReadOnly;

    /* SET TRANSACTION READ ONLY may have come after the changes. An error restores it. */
    XactReadOnly = false;
    queue_become_owner(&saved);
    if (enqueue_feed())
        wake_agents();
    queue_restore_user(&saved);
    XactReadOnly = was_read_only;
}

static const TriggerUse flush_use = {
    "ctms._flush_queue", "AFTER INSERT for each row", {{TRIGGER_EVENT_ROW, TRIGGER_ON(INSERT)}}};

/* ctms._flush_queue() → trigger, deferred, AFTER INSERT ON ctms._queue_flush FOR EACH ROW */
Datum
ctms__flush_queue(PG_FUNCTION_ARGS)
{
    (void)trigger_check(fcinfo, &flush_use, sizeof(TriggerState));
    scheduled_level = 0;
    if (feed_is_owed())
        flush_feed();
    return PointerGetDatum(NULL);
}

/* ---- ends of transactions -------------------------------------------------------- */

static void
at_transaction_end(XactEvent event, void *arg)
{
    switch (event) {
    case XACT_EVENT_PRE_COMMIT:
    case XACT_EVENT_PRE_PREPARE:
        /* The callback of another extension may have changed contacts just now. */
        if (feed_is_owed())
            AfterTriggerFireDeferred();
        /* A prepared transaction cannot notify; agents find its contacts by polling. */
        if (event == XACT_EVENT_PRE_COMMIT)
            wake_at_commit();
        break;
    case XACT_EVENT_COMMIT:
    case XACT_EVENT_ABORT:
    case XACT_EVENT_PREPARE:
        feed_forget();
        wake_forget();
        scheduled_level = 0;
        break;
    default: break;
    }
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *arg)
{
    int level = GetCurrentTransactionNestLevel();

    if (event != SUBXACT_EVENT_COMMIT_SUB && event != SUBXACT_EVENT_ABORT_SUB)
        return;
    feed_end_subtransaction(event == SUBXACT_EVENT_COMMIT_SUB);
    wake_end_subtransaction(event == SUBXACT_EVENT_COMMIT_SUB);
    if (scheduled_level >= level)
        scheduled_level = event == SUBXACT_EVENT_COMMIT_SUB ? level - 1 : 0;
}

void
queue_flush_init(void)
{
    DefineCustomBoolVariable(
        "ctms.enqueue", "Whether changes of contacts are enqueued for Acoustic.",
        "Turn it off for imports. A contact that changes meanwhile is not sent until it changes "
        "again or is enqueued with ctms.enqueue_contacts().",
        &feed_is_enabled, true, PGC_SUSET, 0, NULL, NULL, NULL);
    lane_init();
    RegisterXactCallback(at_transaction_end, NULL);
    RegisterSubXactCallback(at_subtransaction_end, NULL);
}
