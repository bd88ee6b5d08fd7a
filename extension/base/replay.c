/*
 * base/replay.c: whether a replica has what its primary has: ctms.wal_position() on the one,
 * ctms.require_replayed() on the other. The REST server calls them, so that it never reads from
 * a replica what is older than a write that was answered before.
 *
 * A position is a timeline and a place in its log. After a failover, what an old timeline has at
 * the same place is something else, so positions of two timelines are never compared. Nor are those
 * of two clusters, which have the same timelines: the system identifier tells them apart.
 *
 * While somebody writes, the end of the log is nearly always something that no replica has: it is
 * sent when it is flushed, at the next commit or later. So a snapshot of the primary will do, too:
 * a replica where all transactions have ended that had ended there has all that could be seen
 * there.
 */
#include "extension/base/compat.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xlogrecovery.h"
#include "funcapi.h"
#include "utils/fmgrprotos.h"
#include "utils/pg_lsn.h"
#include "utils/snapmgr.h"
#include "utils/xid8.h"

#include "extension/base/errors.h"
#include "extension/base/result_row.h"

PG_FUNCTION_INFO_V1(ctms_wal_position);
PG_FUNCTION_INFO_V1(ctms_require_replayed);

/*
 * Everything that was committed is before this position, whether it has been flushed or not. At the
 * beginning of a page the place for the next record is behind the page's header, but the last one,
 * or the end of the file after pg_switch_wal(), is replayed up to the page.
 */
static XLogRecPtr
get_end_of_log(void)
{
    XLogRecPtr next = GetXLogInsertRecPtr();
    uint64 header = XLogSegmentOffset(next, wal_segment_size) < XLOG_BLCKSZ ? SizeOfXLogLongPHD
                                                                            : SizeOfXLogShortPHD;

    return next % XLOG_BLCKSZ == header ? next - header : next;
}

Datum
ctms_wal_position(PG_FUNCTION_ARGS)
{
    Datum values[3];
    bool nulls[3] = {false, false, false};

    /* The programs take this for what it is: no server that takes writes. */
    if (RecoveryInProgress())
        ereport(ERROR, errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
                errmsg("cannot tell the position of a primary during recovery"));
    values[0] = Int32GetDatum((int32)GetWALInsertionTimeLine());
    values[1] = LSNGetDatum(get_end_of_log());
    values[2] = Int64GetDatum((int64)GetSystemIdentifier());
    PG_RETURN_DATUM(result_row_make(fcinfo, values, nulls, lengthof(values)));
}

static int
set_log_level(int level)
{
    log_min_messages = level;
    return 0;
}

/*
 * This is an answer that comes for many reads a second, so the server's log does not get it. Where
 * an error goes is decided before ereport() looks at what comes after the level.
 */
static void
refuse(const char *why)
{
    int level = log_min_messages;

    set_log_level(PANIC);
    ereport(ERROR, set_log_level(level), errcode(ERRCODE_CTMS_NOT_REPLAYED), errmsg("%s", why));
}

/*
 * Whether all transactions have ended here that had ended in a pg_snapshot of the primary. Those
 * that run are in subxip of a snapshot taken during recovery; that of a subtransaction is not in
 * theirs, and taken for one that has ended.
 */
static bool
has_ended_all(Datum theirs, Snapshot ours)
{
    FullTransactionId end =
        DatumGetFullTransactionId(DirectFunctionCall1(pg_snapshot_xmax, theirs));

    if (TransactionIdPrecedes(ours->xmax, XidFromFullTransactionId(end)))
        return false;
    for (int32 i = 0; i < ours->subxcnt; i++) {
        int32 distance = (int32)(XidFromFullTransactionId(end) - ours->subxip[i]);
        FullTransactionId running =
            FullTransactionIdFromU64(U64FromFullTransactionId(end) - (uint64)distance);

        if (distance > 0 &&
            DatumGetBool(DirectFunctionCall2(pg_visible_in_snapshot,
                                             FullTransactionIdGetDatum(running), theirs)))
            return false;
    }
    return true;
}

static bool
has_all_of(FunctionCallInfo fcinfo, int argument)
{
    Snapshot ours;

    if (PG_ARGISNULL(argument))
        return false;
    ours = GetLatestSnapshot();
    return ours->takenDuringRecovery && has_ended_all(PG_GETARG_DATUM(argument), ours);
}

/*
 * The snapshot of a statement that begins after this one shows what was replayed. That of a
 * transaction which keeps its snapshot was taken before we look.
 */
Datum
ctms_require_replayed(PG_FUNCTION_ARGS)
{
    TimeLineID replayed_timeline;
    XLogRecPtr replayed;

    if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
        ereport(ERROR, errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                errmsg("timeline and position must not be null"));
    if (!RecoveryInProgress())
        refuse("this server is not a replica");
    if (IsolationUsesXactSnapshot())
        refuse("this transaction keeps the snapshot that it began with");
    if (!PG_ARGISNULL(3) && (uint64)PG_GETARG_INT64(3) != GetSystemIdentifier())
        refuse("this server belongs to another cluster");
    replayed = GetXLogReplayRecPtr(&replayed_timeline);
    if (replayed_timeline != (TimeLineID)PG_GETARG_INT32(0))
        refuse("this replica is on another timeline");
    if (replayed < PG_GETARG_LSN(1) && !has_all_of(fcinfo, 2))
        refuse("this replica has not replayed as much");
    PG_RETURN_VOID();
}
