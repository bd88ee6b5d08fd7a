/*
 * queue/wake.c: wakes agents that wait, and only those.
 *
 * NOTIFY takes a lock at commit that all notifying transactions of the cluster share, and
 * holds it while the commit is flushed: if each change notified, commits would follow one
 * another. So a change only notifies when an agent waits, and the first one that does so
 * is the last until an agent waits again. Nothing depends on it: agents poll as well.
 *
 * What is shared is a sequence, the one thing in a database that transactions share
 * without waiting for each other's end. Its value is odd while an agent waits. The races
 * that are left cost a notification too many, or one poll.
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

/* How long a commit may take at most to be seen by an agent that is about to wait. */
#define COMMIT_MAX_MS 20

/*
 * The one page of a sequence. Each change of a contact asks for it, so where it was seen is tried
 * first: whoever drops the sequence, or rewrites it, takes the page out of that buffer.
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

/* Reads the sequence as nextval() does, without its rights and locks: a glance is enough. */
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

/* Gives transactions that are just committing the time for it; not those that go on. */
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
