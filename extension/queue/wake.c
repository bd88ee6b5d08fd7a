/*
 * queue/wake.c: wakes agents that wait, and notifies nobody otherwise.
 *
 * At commit NOTIFY takes a lock that all notifying transactions of the cluster share, and holds
 * it while the commit is flushed. If every change notified, commits could only run one after the
 * other. So a change notifies only when an agent waits, and after that no other change notifies
 * until an agent waits again. Correctness does not depend on this, because agents also poll.
 *
 * The shared state is a sequence, because only sequences can be shared by transactions without
 * waiting for each other's end. Its value is odd while an agent waits. The races that remain cost
 * an extra notification or one poll.
 */
#include "extension/base/compat.h"

#include "access/xact.h"
#include "commands/async.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/procarray.h"
#include "utils/fmgrprotos.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "extension/queue/plan.h"
#include "extension/queue/relations.h"
#include "extension/queue/wake.h"

#define CHANNEL "ctms_acoustic"

/* An agent that is about to wait gives a commit that is under way at most this long to finish. */
#define COMMIT_MAX_MS 20

/* A NOTIFY fails when its queue is full, and with it the commit. */
#define MAX_NOTIFY_QUEUE_USAGE 0.5

/* The nesting level of the (sub)transaction that must wake agents when it commits; 0: none. */
static int due_level = 0;
/* The sequence, which is locked then: nothing about it can fail when the transaction commits. */
static Oid due_sequence = InvalidOid;

/*
 * The value of the sequence. It was never called when nothing has waited yet. The functions of
 * the server do not show in lastval(), as nextval() would.
 */
static int64
read_value(Oid sequence)
{
    LOCAL_FCINFO(fcinfo, 1);
    Datum value;

    InitFunctionCallInfoData(*fcinfo, NULL, 1, InvalidOid, NULL, NULL);
    fcinfo->args[0].value = ObjectIdGetDatum(sequence);
    fcinfo->args[0].isnull = false;
    value = pg_sequence_last_value(fcinfo);
    return fcinfo->isnull ? 0 : DatumGetInt64(value);
}

static bool
is_armed(int64 value)
{
    return value % 2 == 1;
}

/* Two sessions may do this at the same time; then both set the same value. */
static void
set_value(Oid sequence, int64 value)
{
    /* Starts again long before the end. */
    (void)DirectFunctionCall2(setval_oid, ObjectIdGetDatum(sequence),
                              Int64GetDatum(value < PG_INT64_MAX / 2 ? value : 2 + value % 2));
}

static bool
is_any_in_progress(Snapshot snapshot)
{
    for (uint32 i = 0; i < snapshot->xcnt; i++)
        if (TransactionIdIsInProgress(snapshot->xip[i]))
            return true;
    return false;
}

/*
 * Waits a moment for transactions that are about to commit, but not for those that go on running.
 */
static void
wait_for_commits(void)
{
    Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
    TimestampTz start = GetCurrentTimestamp();

    while (is_any_in_progress(snapshot) &&
           !TimestampDifferenceExceeds(start, GetCurrentTimestamp(), COMMIT_MAX_MS)) {
        (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 1,
                        PG_WAIT_EXTENSION);
        ResetLatch(MyLatch);
        CHECK_FOR_INTERRUPTS();
    }
    UnregisterSnapshot(snapshot);
}

bool
wake_arm_agent(void)
{
    Oid sequence = queue_relations()->idle_sequence;
    QueueOwner saved;
    int64 value;

    if (!OidIsValid(sequence) || !queue_become_owner_of(sequence, &saved))
        return false;
    value = read_value(sequence);
    if (!is_armed(value))
        set_value(sequence, value + 1);
    queue_restore_user(&saved);
    if (is_armed(value))
        return false;
    wait_for_commits();
    return true;
}

void
wake_agents(void)
{
    Oid sequence = queue_relations()->idle_sequence;

    if (due_level > 0 || !OidIsValid(sequence))
        return;
    LockRelationOid(sequence, RowExclusiveLock); /* like nextval() */
    due_level = GetCurrentTransactionNestLevel();
    due_sequence = sequence;
}

static bool
is_room_for_notification(void)
{
    return DatumGetFloat8(DirectFunctionCall1(pg_notification_queue_usage, (Datum)0)) <
           MAX_NOTIFY_QUEUE_USAGE;
}

void
wake_at_commit(void)
{
    bool was_read_only = XactReadOnly;
    QueueOwner saved;
    int64 value;

    /* The transaction may have dropped the extension meanwhile. */
    if (due_level == 0 || !queue_become_owner_of(due_sequence, &saved))
        return;
    due_level = 0;
    XactReadOnly = false; /* SET TRANSACTION READ ONLY may have come after the changes */
    value = read_value(due_sequence);
    if (is_armed(value)) {
        set_value(due_sequence, value + 1);
        if (is_room_for_notification())
            Async_Notify(CHANNEL, "");
    }
    XactReadOnly = was_read_only;
    queue_restore_user(&saved);
}

void
wake_end_subtransaction(bool is_commit)
{
    int level = GetCurrentTransactionNestLevel();

    if (due_level >= level)
        due_level = is_commit ? level - 1 : 0;
}

void
wake_forget(void)
{
    due_level = 0;
}
