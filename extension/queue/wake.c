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

#include "access/htup_details.h"
#include "access/relation.h"
#include "commands/async.h"
#include "commands/sequence.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "storage/procarray.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "extension/queue/relations.h"
#include "extension/queue/wake.h"

#define CHANNEL "ctms_acoustic"

/* An agent that is about to wait gives a commit that is under way at most this long to finish. */
#define COMMIT_MAX_MS 20

/*
 * Returns the only page of a sequence. Every change of a contact needs it, so the buffer where it
 * was last seen is tried first. This is safe: when the sequence is dropped or rewritten, the page
 * leaves that buffer.
 */
static Buffer
read_sequence(Oid sequence)
{
    static Oid seen = InvalidOid;
    static RelFileLocator seen_file;
    static Buffer seen_at = InvalidBuffer;
    Relation relation;

    if (sequence == seen && compat_read_recent_buffer(seen_file, MAIN_FORKNUM, 0, seen_at))
        return seen_at;
    relation = relation_open(sequence, AccessShareLock);
    seen_at = ReadBuffer(relation, 0);
    seen_file = relation->rd_locator;
    seen = sequence;
    relation_close(relation, AccessShareLock);
    return seen_at;
}

/*
 * Reads the sequence as nextval() does, but without checking rights and without locking it: a
 * quick look is enough here.
 */
static bool
is_armed(Oid sequence)
{
    Buffer buffer = read_sequence(sequence);
    Page page;
    ItemId item;
    Form_pg_sequence_data data;
    bool is_odd;

    LockBuffer(buffer, BUFFER_LOCK_SHARE);
    page = BufferGetPage(buffer);
    item = PageGetItemId(page, FirstOffsetNumber);
    data = (Form_pg_sequence_data)((char *)PageGetItem(page, item) +
                                   ((HeapTupleHeader)PageGetItem(page, item))->t_hoff);
    is_odd = data->is_called && data->last_value % 2 == 1;
    UnlockReleaseBuffer(buffer);
    return is_odd;
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
    const QueueRelations *relations = queue_relations();

    if (!relations || !OidIsValid(relations->idle_sequence) || is_armed(relations->idle_sequence))
        return false;
    (void)nextval_internal(relations->idle_sequence, false);
    wait_for_commits();
    return true;
}

void
wake_agents(void)
{
    const QueueRelations *relations = queue_relations();

    if (relations && OidIsValid(relations->idle_sequence)) {
        if (!is_armed(relations->idle_sequence))
            return;
        (void)nextval_internal(relations->idle_sequence, false);
    }
    Async_Notify(CHANNEL, "");
}
