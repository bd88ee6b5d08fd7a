/*
 * queue/direct_table.c: opens the queue below the executor, and writes its rows with the functions
 * that the executor itself uses. It does not decide what to write: queue/direct.c and
 * queue/direct_claim.c do.
 */
#include "extension/base/compat.h"

#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "executor/executor.h"
#include "storage/lmgr.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "extension/queue/direct_table.h"

static const GateColumn columns[COLUMN_COUNT] = {
    [COLUMN_EMAIL_ID] = {"email_id", UUIDOID, true},
    [COLUMN_RETRY] = {"retry", INT4OID, true},
    [COLUMN_LAST_ERROR] = {"last_error", TEXTOID, false},
    [COLUMN_GENERATION] = {"generation", INT8OID, true},
    [COLUMN_RETRY_AFTER] = {"retry_after", TIMESTAMPTZOID, false},
    [COLUMN_LEASE_UNTIL] = {"lease_until", TIMESTAMPTZOID, false},
    [COLUMN_LEASE_OWNER] = {"lease_owner", TEXTOID, false},
    [COLUMN_CREATE_TIMESTAMP] = {"create_timestamp", TIMESTAMPTZOID, true},
    [COLUMN_UPDATE_TIMESTAMP] = {"update_timestamp", TIMESTAMPTZOID, true},
    [COLUMN_IS_TRIED] = {"is_tried", BOOLOID, true},
    [COLUMN_IS_BULK] = {"is_bulk", BOOLOID, true},
};

static bool queue_fits(Relation relation);

static GateTable queue_table = {.name = "pending_acoustic",
                                .columns = columns,
                                .column_count = COLUMN_COUNT,
                                .key = COLUMN_EMAIL_ID,
                                .is_key_unique = true,
                                .rights = ACL_NO_RIGHTS,
                                .also_fits = queue_fits};

static const GateWrittenTable written_queue = {
    .table = &queue_table, .parent = "emails", .trigger = "_update_timestamp"};

static bool
queue_fits(Relation relation)
{
    return gate_write_fits(&written_queue, relation);
}

/* ---- opening ----------------------------------------------------------------- */

bool
direct_table_open(DirectQueue *queue)
{
    memset(queue, 0, sizeof(*queue));
    queue->context = CurrentMemoryContext;
    if (!gate_open(&queue->rows, &queue_table, RowExclusiveLock))
        return false;
    /* Raises what a statement would that can update rows. */
    CheckCmdReplicaIdentity(queue->rows.relation, CMD_UPDATE);
    queue->slot = MakeSingleTupleTableSlot(RelationGetDescr(queue->rows.relation), &TTSOpsVirtual);
    queue->now = GetCurrentTimestamp();
    PushActiveSnapshot(GetLatestSnapshot());
    return true;
}

void
direct_table_close(DirectQueue *queue)
{
    PopActiveSnapshot();
    ExecDropSingleTupleTableSlot(queue->slot);
    gate_write_close(&queue->writer);
    gate_close(&queue->rows);
}

void
direct_table_look_anew(void)
{
    PopActiveSnapshot();
    PushActiveSnapshot(GetLatestSnapshot());
}

/* ---- the row to be written ------------------------------------------------------ */

static int
place(DirectQueue *queue, QueueColumn column)
{
    return queue->rows.columns[column] - 1;
}

void
direct_table_set(DirectQueue *queue, QueueColumn column, Datum value)
{
    queue->slot->tts_values[place(queue, column)] = value;
    queue->slot->tts_isnull[place(queue, column)] = false;
}

void
direct_table_set_null(DirectQueue *queue, QueueColumn column)
{
    queue->slot->tts_isnull[place(queue, column)] = true;
}

Datum
direct_table_get(DirectQueue *queue, QueueColumn column)
{
    return queue->slot->tts_values[place(queue, column)];
}

bool
direct_table_is_null(DirectQueue *queue, QueueColumn column)
{
    return queue->slot->tts_isnull[place(queue, column)];
}

void
direct_table_blank(DirectQueue *queue)
{
    ExecStoreAllNullTuple(queue->slot);
}

void
direct_table_copy(DirectQueue *queue)
{
    TupleTableSlot *found = queue->rows.found;
    TupleTableSlot *slot = queue->slot;
    int count = slot->tts_tupleDescriptor->natts;

    slot_getallattrs(found);
    ExecClearTuple(slot);
    memcpy(slot->tts_values, found->tts_values, count * sizeof(Datum));
    memcpy(slot->tts_isnull, found->tts_isnull, count * sizeof(bool));
    ExecStoreVirtualTuple(slot);
    direct_table_set(queue, COLUMN_UPDATE_TIMESTAMP, TimestampTzGetDatum(queue->now));
}

/* ---- writing -------------------------------------------------------------------- */

/* Many transactions only lock rows, so the indexes are opened when they are first needed. */
static GateWriter *
writer(DirectQueue *queue)
{
    MemoryContext caller;

    if (queue->writer.target)
        return &queue->writer;
    caller = MemoryContextSwitchTo(queue->context);
    gate_write_open(&queue->writer, &queue->rows);
    MemoryContextSwitchTo(caller);
    return &queue->writer;
}

const ResultRelInfo *
direct_table_indexes(DirectQueue *queue)
{
    return writer(queue)->target;
}

static void
insert_entries(DirectQueue *queue, CompatEntries entries, bool *has_conflict)
{
    GateWriter *target = writer(queue);

    compat_insert_index_tuples(target->target, queue->slot, target->estate, entries, has_conflict);
}

/* INSERT ... ON CONFLICT does the same; execIndexing.c describes speculative insertion. */
bool
direct_table_insert(DirectQueue *queue)
{
    Relation relation = queue->rows.relation;
    TransactionId xid = GetCurrentTransactionId();
    bool has_conflict = false;
    uint32 token = SpeculativeInsertionLockAcquire(xid);

    table_tuple_insert_speculative(relation, queue->slot, GetCurrentCommandId(true), 0, NULL,
                                   token);
    insert_entries(queue, COMPAT_ALL_ENTRIES, &has_conflict);
    table_tuple_complete_speculative(relation, queue->slot, token, !has_conflict);
    SpeculativeInsertionLockRelease(xid);
    if (has_conflict)
        compat_wait_for_conflict(writer(queue)->target, queue->slot, writer(queue)->estate);
    ExecClearTuple(queue->slot);
    return !has_conflict;
}

TM_Result
direct_table_lock(DirectQueue *queue, ItemPointer tid, LockWaitPolicy policy, uint8 flags)
{
    TM_FailureData failure;
    TM_Result result = table_tuple_lock(queue->rows.relation, tid, InvalidSnapshot,
                                        queue->rows.found, GetCurrentCommandId(true),
                                        LockTupleNoKeyExclusive, policy, flags, &failure);

    if (result != TM_Ok && result != TM_Updated && result != TM_Deleted &&
        (policy == LockWaitBlock || result != TM_WouldBlock))
        elog(ERROR, "unexpected result %d of a lock of a queue row", result);
    return result;
}

void
direct_table_update(DirectQueue *queue)
{
    TM_FailureData failure;
    CompatEntries entries = COMPAT_NO_ENTRIES;
    TM_Result result;

    result = compat_update_tuple(queue->rows.relation, &queue->rows.found->tts_tid, queue->slot,
                                 GetCurrentCommandId(true), &failure, &entries);
    if (result != TM_Ok)
        elog(ERROR, "unexpected result %d of an update of a queue row", result);
    if (entries != COMPAT_NO_ENTRIES)
        insert_entries(queue, entries, NULL);
    ExecClearTuple(queue->slot);
}
