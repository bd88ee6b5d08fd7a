/*
 * queue_wake.c: wakes agents that wait, and only those.
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
#include "compat.h"

#include "access/transam.h"
#include "catalog/namespace.h"
#include "commands/async.h"
#include "commands/sequence.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "queue_wake.h"

#define CHANNEL "ctms_acoustic"
#define SEQUENCE "acoustic_idle_seq"

/* How long a commit may take at most to be seen by an agent that is about to wait. */
#define COMMIT_MAX_MS 20

static Oid
find_sequence(void)
{
    return get_relname_relid(SEQUENCE, get_namespace_oid("ctms", false));
}

static bool
is_armed(Oid sequence)
{
    LOCAL_FCINFO(fcinfo, 1);
    Datum value;

    InitFunctionCallInfoData(*fcinfo, NULL, 1, InvalidOid, NULL, NULL);
    fcinfo->args[0].value = ObjectIdGetDatum(sequence);
    fcinfo->args[0].isnull = false;
    value = pg_sequence_last_value(fcinfo);
    return !fcinfo->isnull && DatumGetInt64(value) % 2 == 1;
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
ctms_wake_arm(void)
{
    Oid sequence = find_sequence();

    if (!OidIsValid(sequence) || is_armed(sequence))
        return false;
    (void)nextval_internal(sequence, false);
    wait_for_commits();
    return true;
}

void
ctms_wake_agents(void)
{
    Oid sequence = find_sequence();

    if (OidIsValid(sequence)) {
        if (!is_armed(sequence))
            return;
        (void)nextval_internal(sequence, false);
    }
    Async_Notify(CHANNEL, "");
}
