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
 * change of a transaction tells it that the only row of ctms.queue_flush was inserted. The row
 * stays as it is. Were the triggers of the contacts' own tables deferred, those tables could not
 * be altered or truncated in a transaction that has changed contacts
 * (docs/decisions/writing-the-queue.md).
 */
#include "extension/base/compat.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "utils/guc.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "extension/base/trigger_check.h"
#include "extension/queue/enqueue.h"
#include "extension/queue/feed.h"
#include "extension/queue/flush.h"
#include "extension/queue/plan.h"
#include "extension/queue/relations.h"
#include "extension/queue/stripe.h"
#include "extension/queue/wake.h"

bool feed_is_enabled = true;

/* The nesting level of the (sub)transaction that has scheduled the trigger; 0 when none has. */
static int scheduled_level = 0;

PG_FUNCTION_INFO_V1(ctms__flush_queue);

/* ---- scheduling ---------------------------------------------------------------- */

static bool
has_trigger(Relation table)
{
    TriggerDesc *triggers = table->trigdesc;

    return triggers && triggers->numtriggers == 1 && triggers->triggers[0].tginitdeferred &&
           triggers->triggers[0].tgenabled == TRIGGER_FIRES_ALWAYS;
}

/* Finds the row, mostly where it was found before. */
static bool
find_row(Relation table, Snapshot snapshot, TupleTableSlot *row)
{
    static Oid seen_file = InvalidOid;
    static ItemPointerData seen_at;
    TableScanDesc scan;
    bool is_found;

    if (seen_file == table->rd_rel->relfilenode &&
        table_tuple_fetch_row_version(table, &seen_at, snapshot, row))
        return true;
    scan = table_beginscan(table, snapshot, 0, NULL);
    is_found = table_scan_getnextslot(scan, ForwardScanDirection, row);
    if (is_found) {
        seen_file = table->rd_rel->relfilenode;
        seen_at = row->tts_tid;
    }
    table_endscan(scan);
    return is_found;
}

/* Queues the deferred trigger for the row, as if it had just been inserted. */
static void
queue_trigger(Relation table, Snapshot snapshot)
{
    EState *estate = makeNode(EState);
    ResultRelInfo *target = makeNode(ResultRelInfo);
    TupleTableSlot *row = table_slot_create(table, NULL);

    if (!has_trigger(table) || !find_row(table, snapshot, row))
        ereport(ERROR, errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                errmsg("table \"%s.%s\" is not as the extension created it", "ctms", "queue_flush"),
                errdetail("It must have one row, and its deferred trigger must be enabled. Without "
                          "them, the change would never be sent to Acoustic."));
    /* All that is read of them: the trigger has no condition and no transition table. */
    target->ri_RelationDesc = table;
    target->ri_TrigDesc = table->trigdesc;
    ExecARInsertTriggers(estate, target, row, NIL, NULL);
    ExecDropSingleTupleTableSlot(row);
    pfree(target);
    pfree(estate);
}

void
queue_flush_schedule(void)
{
    Relation table;
    Snapshot snapshot;

    if (scheduled_level > 0 || !feed_is_owed())
        return;
    /* Locked until the end of the transaction, like a table with a row that was inserted. */
    table = table_open(queue_relations()->flush, RowExclusiveLock);
    snapshot = RegisterSnapshot(GetLatestSnapshot());
    queue_trigger(table, snapshot);
    UnregisterSnapshot(snapshot);
    table_close(table, NoLock);
    scheduled_level = GetCurrentTransactionNestLevel();
}

/* ---- writing ------------------------------------------------------------------- */

static void
flush_feed(void)
{
    FeedKeys contacts;
    QueueOwner saved;
    bool was_read_only = XactReadOnly;
    bool is_any;

    /* SET TRANSACTION READ ONLY may have come after the changes. An error restores it. */
    XactReadOnly = false;
    queue_become_owner(&saved);
    is_any = queue_resolve_stripe_keys();
    feed_take_all(FEED_CONTACT, &contacts);
    is_any |= enqueue_contacts(&contacts) > 0;
    if (is_any)
        wake_agents();
    queue_restore_user(&saved);
    XactReadOnly = was_read_only;
}

static const TriggerUse flush_use = {
    "ctms._flush_queue", "AFTER INSERT for each row", {{TRIGGER_EVENT_ROW, TRIGGER_ON(INSERT)}}};

/* ctms._flush_queue() → trigger, deferred, AFTER INSERT ON ctms.queue_flush FOR EACH ROW */
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
    RegisterXactCallback(at_transaction_end, NULL);
    RegisterSubXactCallback(at_subtransaction_end, NULL);
}
