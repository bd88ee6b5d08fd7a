/*
 * queue_direct.c: writes queue rows below the executor.
 *
 * Every transaction that changes a contact writes one queue row. By SQL that costs as much
 * as the change itself, most of it for starting the executor and for the check of the
 * foreign key. Here the same is done with the table and its indexes at hand: find the row
 * by email_id and give it a new version, or insert one as INSERT ... ON CONFLICT does
 * (execIndexing.c describes speculative insertion).
 *
 * queue_flush.c has the statement that says the same in SQL, for all other cases. Both are
 * held to the same results by test/t/210_queue_paths.pl. queue_direct_claim.c claims what was
 * written.
 */
#include "compat.h"

#include "access/genam.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_am_d.h"
#include "commands/sequence.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "queue_direct.h"
#include "queue_direct_table.h"

static const char *const column_names[COLUMN_COUNT] = {
    "id",          "email_id",    "retry",       "last_error",       "generation",
    "retry_after", "lease_until", "lease_owner", "create_timestamp", "update_timestamp",
    "is_tried"};

/* ---- opening ----------------------------------------------------------------- */

static bool
has_only_our_triggers(Relation relation)
{
    TriggerDesc *triggers = relation->trigdesc;

    for (int i = 0; triggers && i < triggers->numtriggers; i++)
        if (!triggers->triggers[i].tgisinternal &&
            strncmp(triggers->triggers[i].tgname, "ctms_pending_acoustic_", 22) != 0)
            return false;
    return true;
}

static bool
is_table_known(Relation relation)
{
    TupleDesc desc = RelationGetDescr(relation);

    if (relation->rd_rel->relkind != RELKIND_RELATION ||
        relation->rd_rel->relam != HEAP_TABLE_AM_OID || relation->rd_rel->relhasrules ||
        desc->natts != COLUMN_COUNT || !has_only_our_triggers(relation) ||
        (desc->constr && (desc->constr->num_check > 0 || desc->constr->has_generated_stored)))
        return false;
    for (int i = 0; i < COLUMN_COUNT; i++)
        if (strcmp(NameStr(TupleDescAttr(desc, i)->attname), column_names[i]) != 0)
            return false;
    return true;
}

void
ctms_keyed_open(KeyedTable *table, Relation relation, Snapshot snapshot)
{
    table->relation = relation;
    table->index = index_open(ctms_primary_key_index(relation), AccessShareLock);
    table->scan = ctms_index_beginscan(relation, table->index, snapshot, 1);
    table->found = table_slot_create(relation, NULL);
}

void
ctms_keyed_close(KeyedTable *table)
{
    if (!table->relation)
        return;
    index_endscan(table->scan);
    ExecDropSingleTupleTableSlot(table->found);
    index_close(table->index, AccessShareLock);
    /* As a statement does, locks on the tables stay until the transaction ends. */
    table_close(table->relation, NoLock);
    table->relation = NULL;
}

bool
ctms_keyed_find(KeyedTable *table, const pg_uuid_t *key)
{
    ScanKeyData equal;

    ScanKeyInit(&equal, 1, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(key));
    index_rescan(table->scan, &equal, 1, NULL, 0);
    return index_getnext_slot(table->scan, ForwardScanDirection, table->found);
}

DirectQueue *
ctms_direct_open(void)
{
    const QueueRelations *relations = ctms_queue_relations();
    DirectQueue *queue;
    Relation relation;

    if (!relations || !relations->is_local || !OidIsValid(relations->id_sequence))
        return NULL;
    relation = table_open(relations->queue, RowExclusiveLock);
    if (!is_table_known(relation) || !OidIsValid(ctms_primary_key_index(relation))) {
        table_close(relation, RowExclusiveLock);
        return NULL;
    }

    queue = palloc0(sizeof(*queue));
    queue->relations = *relations;
    queue->now = GetCurrentTimestamp();
    InitDirtySnapshot(queue->dirty);
    ctms_keyed_open(&queue->queue, relation, &queue->dirty);
    return queue;
}

/* What is needed to write versions of rows; most transactions only lock one. */
static void
start_writing(DirectQueue *queue)
{
    Relation relation = queue->queue.relation;

    if (queue->estate)
        return;
    queue->estate = CreateExecutorState();
    queue->slot = MakeSingleTupleTableSlot(RelationGetDescr(relation), &TTSOpsVirtual);
    queue->target = makeNode(ResultRelInfo);
    InitResultRelInfo(queue->target, relation, 0, NULL, 0);
    queue->arbiters = list_make1_oid(RelationGetRelid(queue->queue.index));
}

void
ctms_direct_close(DirectQueue *queue)
{
    if (queue->are_indexes_open)
        ExecCloseIndices(queue->target);
    ctms_keyed_close(&queue->queue);
    ctms_keyed_close(&queue->emails);
    if (queue->latest)
        UnregisterSnapshot(queue->latest);
    if (queue->estate) {
        ExecDropSingleTupleTableSlot(queue->slot);
        FreeExecutorState(queue->estate);
        list_free(queue->arbiters);
    }
    pfree(queue);
    CommandCounterIncrement();
}

/* ---- finding ----------------------------------------------------------------- */

/* The queue row, after all who are writing it have ended. */
static bool
find_queue_row(DirectQueue *queue, const pg_uuid_t *email_id)
{
    while (ctms_keyed_find(&queue->queue, email_id)) {
        TransactionId writer =
            TransactionIdIsValid(queue->dirty.xmin) ? queue->dirty.xmin : queue->dirty.xmax;
        ItemPointerData tid;

        if (!TransactionIdIsValid(writer))
            return true;
        tid = queue->queue.found->tts_tid;
        ExecClearTuple(queue->queue.found);
        XactLockTableWait(writer, queue->queue.relation, &tid, XLTW_Update);
    }
    return false;
}

static void
look_anew(DirectQueue *queue)
{
    if (queue->latest)
        UnregisterSnapshot(queue->latest);
    queue->latest = RegisterSnapshot(GetLatestSnapshot());
    queue->emails.scan->xs_snapshot = queue->latest;
}

/*
 * A version that somebody is writing is locked with the one before it, without waiting unless
 * he deletes the contact. What was written since the snapshot is looked for anew: were it left
 * to table_tuple_lock() to follow the versions, it would wait for whoever writes the next one.
 */
bool
ctms_direct_hold(DirectQueue *queue, const pg_uuid_t *email_id)
{
    KeyedTable *emails = &queue->emails;
    TM_FailureData failure;
    TM_Result result;

    if (!emails->relation) {
        ctms_keyed_open(emails, table_open(queue->relations.emails, RowShareLock), SnapshotAny);
        look_anew(queue);
    }
    while (ctms_keyed_find(emails, email_id)) {
        CHECK_FOR_INTERRUPTS();
        result = table_tuple_lock(emails->relation, &emails->found->tts_tid, queue->latest,
                                  emails->found, GetCurrentCommandId(false), LockTupleKeyShare,
                                  LockWaitBlock, TUPLE_LOCK_FLAG_LOCK_UPDATE_IN_PROGRESS, &failure);
        ExecClearTuple(emails->found);
        if (result == TM_Ok || result == TM_Deleted)
            return result == TM_Ok;
        if (result != TM_Updated)
            elog(ERROR, "unexpected result %d of a row lock", result);
        look_anew(queue);
    }
    return false;
}

/* ---- writing ----------------------------------------------------------------- */

static void
open_indexes(DirectQueue *queue)
{
    MemoryContext caller;

    if (queue->are_indexes_open)
        return;
    caller = MemoryContextSwitchTo(queue->estate->es_query_cxt);
    ExecOpenIndices(queue->target, true);
    MemoryContextSwitchTo(caller);
    queue->are_indexes_open = true;
}

/* False when another transaction was faster: look again. */
static bool
insert_row(DirectQueue *queue, const pg_uuid_t *email_id, int64 generation)
{
    TupleTableSlot *slot = queue->slot;
    Relation relation = queue->queue.relation;
    TransactionId xid = GetCurrentTransactionId();
    bool has_conflict = false;
    uint32 token;

    ExecClearTuple(slot);
    memset(slot->tts_isnull, false, COLUMN_COUNT * sizeof(bool));
    slot->tts_values[COLUMN_ID] =
        Int64GetDatum(nextval_internal(queue->relations.id_sequence, false));
    slot->tts_values[COLUMN_EMAIL_ID] = UUIDPGetDatum(email_id);
    slot->tts_values[COLUMN_RETRY] = Int32GetDatum(0);
    slot->tts_isnull[COLUMN_LAST_ERROR] = true;
    slot->tts_values[COLUMN_GENERATION] = Int64GetDatum(generation);
    slot->tts_isnull[COLUMN_RETRY_AFTER] = true;
    slot->tts_isnull[COLUMN_LEASE_UNTIL] = true;
    slot->tts_isnull[COLUMN_LEASE_OWNER] = true;
    slot->tts_values[COLUMN_CREATE_TIMESTAMP] = TimestampTzGetDatum(queue->now);
    slot->tts_values[COLUMN_UPDATE_TIMESTAMP] = TimestampTzGetDatum(queue->now);
    slot->tts_values[COLUMN_IS_TRIED] = BoolGetDatum(false);
    ExecStoreVirtualTuple(slot);

    open_indexes(queue);
    token = SpeculativeInsertionLockAcquire(xid);
    table_tuple_insert_speculative(relation, slot, GetCurrentCommandId(true), 0, NULL, token);
    list_free(ctms_insert_index_tuples(queue->target, slot, queue->estate, true, &has_conflict,
                                       queue->arbiters));
    table_tuple_complete_speculative(relation, slot, token, !has_conflict);
    SpeculativeInsertionLockRelease(xid);
    return !has_conflict;
}

TM_Result
ctms_direct_rewrite(DirectQueue *queue, TupleTableSlot *found, bool may_wait)
{
    TM_FailureData failure;
    LockTupleMode lock_mode;
    bool must_index;
    TM_Result result =
        ctms_update_tuple(queue->queue.relation, &found->tts_tid, queue->slot,
                          GetCurrentCommandId(true), may_wait, &failure, &lock_mode, &must_index);

    if (result == TM_Ok && must_index) {
        open_indexes(queue);
        list_free(
            ctms_insert_index_tuples(queue->target, queue->slot, queue->estate, false, NULL, NIL));
    }
    if (result != TM_Ok && result != TM_Updated && result != TM_Deleted &&
        (may_wait || result != TM_BeingModified))
        elog(ERROR, "unexpected result %d of an update of the queue", result);
    return result;
}

TupleTableSlot *
ctms_direct_copy(DirectQueue *queue, TupleTableSlot *found)
{
    TupleTableSlot *slot;

    start_writing(queue);
    slot = queue->slot;
    slot_getallattrs(found);
    ExecClearTuple(slot);
    memcpy(slot->tts_values, found->tts_values, COLUMN_COUNT * sizeof(Datum));
    memcpy(slot->tts_isnull, found->tts_isnull, COLUMN_COUNT * sizeof(bool));
    slot->tts_values[COLUMN_UPDATE_TIMESTAMP] = TimestampTzGetDatum(queue->now);
    ExecStoreVirtualTuple(slot);
    return slot;
}

/*
 * Gives the row that was found a new generation and a fresh start; a live lease stays.
 * False when another transaction has written it since: look again.
 */
static bool
update_row(DirectQueue *queue, int64 generation)
{
    TupleTableSlot *found = queue->queue.found;
    TupleTableSlot *slot = ctms_direct_copy(queue, found);
    int64 old_generation = DatumGetInt64(slot->tts_values[COLUMN_GENERATION]);

    slot->tts_values[COLUMN_GENERATION] = Int64GetDatum(Max(old_generation + 1, generation));
    /* After a failure it starts afresh, behind those that wait for their first attempt. */
    if (DatumGetInt32(slot->tts_values[COLUMN_RETRY]) > 0)
        slot->tts_values[COLUMN_CREATE_TIMESTAMP] = TimestampTzGetDatum(queue->now);
    slot->tts_values[COLUMN_RETRY] = Int32GetDatum(0);
    slot->tts_isnull[COLUMN_LAST_ERROR] = true;
    slot->tts_isnull[COLUMN_RETRY_AFTER] = true;
    return ctms_direct_rewrite(queue, found, true) == TM_Ok;
}

/*
 * Nobody has claimed this row yet, so nobody knows its generation, and it has nothing to start
 * afresh from: whoever claims it after the transaction reads what the transaction wrote.
 */
static bool
is_untouched(TupleTableSlot *found)
{
    slot_getallattrs(found);
    return !DatumGetBool(found->tts_values[COLUMN_IS_TRIED]) &&
           DatumGetInt32(found->tts_values[COLUMN_RETRY]) == 0 &&
           found->tts_isnull[COLUMN_RETRY_AFTER] && found->tts_isnull[COLUMN_LEASE_OWNER];
}

/*
 * Keeps the row from being claimed until the transaction ends; half as dear as a new version.
 * False when another transaction has written it since: look again.
 */
static bool
lock_row(DirectQueue *queue)
{
    TupleTableSlot *found = queue->queue.found;
    ItemPointerData tid = found->tts_tid;
    TM_FailureData failure;
    TM_Result result = table_tuple_lock(queue->queue.relation, &tid, &queue->dirty, found,
                                        GetCurrentCommandId(true), LockTupleNoKeyExclusive,
                                        LockWaitBlock, 0, &failure);

    if (result != TM_Ok && result != TM_Updated && result != TM_Deleted)
        elog(ERROR, "unexpected result %d of a lock on the queue", result);
    return result == TM_Ok;
}

static bool
write_row(DirectQueue *queue, bool is_found, const pg_uuid_t *email_id, int64 generation)
{
    MemoryContext caller;
    bool is_done;

    /* Index scans keep what they allocate: only the writing may use the row's memory. */
    start_writing(queue);
    caller = MemoryContextSwitchTo(GetPerTupleMemoryContext(queue->estate));
    is_done = is_found ? update_row(queue, generation) : insert_row(queue, email_id, generation);
    /* The new version may refer to the old one's bytes until here. */
    ExecClearTuple(queue->slot);
    MemoryContextSwitchTo(caller);
    ResetPerTupleExprContext(queue->estate);
    return is_done;
}

void
ctms_direct_enqueue(DirectQueue *queue, const pg_uuid_t *email_id, int64 generation)
{
    bool is_done = false;

    while (!is_done) {
        bool is_found = find_queue_row(queue, email_id);

        CHECK_FOR_INTERRUPTS();
        is_done = is_found && is_untouched(queue->queue.found)
                      ? lock_row(queue)
                      : write_row(queue, is_found, email_id, generation);
        ExecClearTuple(queue->queue.found);
    }
}
