/*
 * queue/flush.c: writes the queue once per transaction, at commit.
 *
 * By then everything that the transaction changed is known (queue/feed.c). Every transaction
 * locks queue rows in order of email_id, and locks no other row of ours after them, so the queue
 * cannot cause a deadlock. Contacts that the transaction deleted are left out. The rows
 * themselves are written by queue/enqueue.c.
 */
#include "extension/base/compat.h"

#include "access/xact.h"
#include "utils/guc.h"

#include "extension/queue/enqueue.h"
#include "extension/queue/feed.h"
#include "extension/queue/flush.h"
#include "extension/queue/relations.h"
#include "extension/queue/stripe.h"
#include "extension/queue/wake.h"

bool feed_is_enabled = true;

static void
flush_feed(bool may_notify)
{
    FeedKeys held, loose;
    bool is_any = false;

    /* The same transaction may have dropped the extension. */
    if (!queue_relations()) {
        feed_forget();
        return;
    }
    /* If someone has put a trigger on the queue, it may change contacts again. */
    while (feed_is_owed()) {
        is_any |= queue_resolve_stripe_keys();
        feed_detach(FEED_HELD, &held);
        feed_detach(FEED_CONTACT, &loose);
        if (feed_has_deletions()) {
            feed_merge(&loose, &held);
            held.count = 0;
        }
        is_any |= enqueue_contacts(&held, &loose) > 0;
    }
    if (is_any && may_notify)
        wake_agents();
}

static void
at_transaction_end(XactEvent event, void *arg)
{
    switch (event) {
    case XACT_EVENT_PRE_COMMIT:
    case XACT_EVENT_PRE_PREPARE:
        /* A prepared transaction cannot notify; agents find its contacts by polling. */
        if (feed_is_owed())
            flush_feed(event == XACT_EVENT_PRE_COMMIT);
        break;
    case XACT_EVENT_COMMIT:
    case XACT_EVENT_ABORT:
    case XACT_EVENT_PREPARE: feed_forget(); break;
    default: break;
    }
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *arg)
{
    if (event == SUBXACT_EVENT_COMMIT_SUB || event == SUBXACT_EVENT_ABORT_SUB)
        feed_end_subtransaction(event == SUBXACT_EVENT_COMMIT_SUB);
}

void
queue_flush_init(void)
{
    DefineCustomBoolVariable(
        "ctms.enqueue", "Whether changes of contacts are enqueued for Acoustic.",
        "Turn it off for imports. A contact that changes meanwhile is not sent until it changes "
        "again or is enqueued with ctms.enqueue_contacts().",
        &feed_is_enabled, true, PGC_SUSET, 0, NULL, NULL, NULL);
    RegisterXactCallback(at_transaction_end, NULL);
    RegisterSubXactCallback(at_subtransaction_end, NULL);
}
