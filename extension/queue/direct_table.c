/*
 * queue/direct_table.c: opens the queue below the executor, and reads and writes its rows. It
 * does not decide what to write: queue/direct.c and queue/direct_claim.c do.
 */
#include "extension/base/compat.h"

#include "access/genam.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_am_d.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "extension/queue/direct_table.h"

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

/* A valid B-tree index that holds only plain columns and checks uniqueness at once. */
static bool
is_index_known(Oid oid)
{
    Relation index = index_open(oid, AccessShareLock);
    Form_pg_index form = index->rd_index;
    bool is_known = index->rd_rel->relam == BTREE_AM_OID && form->indisvalid && form->indisready &&
                    form->indimmediate && !form->indisexclusion &&
                    RelationGetIndexExpressions(index) == NIL &&
                    RelationGetIndexPredicate(index) == NIL;

    index_close(index, AccessShareLock);
    return is_known;
}

static bool
has_only_known_indexes(Relation relation)
{
    List *indexes = RelationGetIndexList(relation);
    bool is_known = OidIsValid(compat_primary_key_index(relation));
    ListCell *cell;

    foreach (cell, indexes)
        is_known = is_known && is_index_known(lfirst_oid(cell));
    list_free(indexes);
    return is_known;
}

static bool
is_table_plain(Relation relation)
{
    TupleDesc desc = RelationGetDescr(relation);

    if (relation->rd_rel->relkind != RELKIND_RELATION ||
        relation->rd_rel->relam != HEAP_TABLE_AM_OID || relation->rd_rel->relhasrules ||
        desc->natts != COLUMN_COUNT || !has_only_our_triggers(relation) ||
        (desc->constr && (desc->constr->num_check > 0 || desc->constr->has_generated_stored)) ||
        !has_only_known_indexes(relation))
        return false;
    for (int i = 0; i < COLUMN_COUNT; i++)
        if (strcmp(NameStr(TupleDescAttr(desc, i)->attname), column_names[i]) != 0)
            return false;
    return true;
}

/*
 * The queue table that was found to be plain. Any change of its definition resets this, so that
 * it is checked again.
 */
static Oid plain_table = InvalidOid;

static void
forget_table(Datum arg, Oid relation)
{
    if (relation == plain_table || !OidIsValid(relation))
        plain_table = InvalidOid;
}

static bool
is_table_known(Relation relation)
{
    static bool is_watching = false;

    if (!is_watching) {
        CacheRegisterRelcacheCallback(forget_table, (Datum)0);
        is_watching = true;
    }
    if (plain_table == RelationGetRelid(relation))
        return true;
    if (!is_table_plain(relation))
        return false;
    plain_table = RelationGetRelid(relation);
    return true;
}

DirectQueue *
direct_open(void)
{
    const QueueRelations *relations = queue_relations();
    DirectQueue *queue;
    Relation relation;

    if (!keyed_table_is_allowed || !relations || !relations->is_local ||
        !OidIsValid(relations->id_sequence))
        return NULL;
    relation = table_open(relations->queue, RowExclusiveLock);
    if (!is_table_known(relation)) {
        table_close(relation, RowExclusiveLock);
        return NULL;
    }

    queue = palloc0(sizeof(*queue));
    queue->context = CurrentMemoryContext;
    queue->relations = *relations;
    queue->now = GetCurrentTimestamp();
    InitDirtySnapshot(queue->dirty);
    keyed_table_open(&queue->queue, relation, compat_primary_key_index(relation), RowExclusiveLock);
    return queue;
}

void
direct_close(DirectQueue *queue)
{
    for (int i = 0; i < queue->other_index_count; i++)
        index_close(queue->other_indexes[i], NoLock);
    keyed_table_close(&queue->queue);
    keyed_table_close(&queue->emails);
    if (queue->latest)
        UnregisterSnapshot(queue->latest);
    if (queue->slot) {
        ExecDropSingleTupleTableSlot(queue->slot);
        MemoryContextDelete(queue->row_context);
    }
    pfree(queue);
    CommandCounterIncrement();
}

/* ---- writing ----------------------------------------------------------------- */

/* Allocates what is needed to write rows. Most transactions only lock a row and never come here. */
static void
start_writing(DirectQueue *queue)
{
    MemoryContext caller;

    if (queue->slot)
        return;
    caller = MemoryContextSwitchTo(queue->context);
    queue->slot = MakeSingleTupleTableSlot(RelationGetDescr(queue->queue.relation), &TTSOpsVirtual);
    queue->row_context =
        AllocSetContextCreate(queue->context, "ctms queue row", ALLOCSET_DEFAULT_SIZES);
    MemoryContextSwitchTo(caller);
}

static void
open_other_indexes(DirectQueue *queue)
{
    Oid key = RelationGetRelid(queue->queue.index);
    List *oids;
    ListCell *cell;

    if (queue->other_indexes)
        return;
    oids = RelationGetIndexList(queue->queue.relation);
    queue->other_indexes = MemoryContextAlloc(queue->context, list_length(oids) * sizeof(Relation));
    foreach (cell, oids)
        if (lfirst_oid(cell) != key)
            queue->other_indexes[queue->other_index_count++] =
                index_open(lfirst_oid(cell), RowExclusiveLock);
    list_free(oids);
}

/*
 * Inserts the index entry for queue->slot. False when "check" is UNIQUE_CHECK_PARTIAL and another
 * row has the key or may have it.
 */
static bool
insert_entry(DirectQueue *queue, Relation index, IndexUniqueCheck check)
{
    TupleTableSlot *slot = queue->slot;
    Datum values[INDEX_MAX_KEYS];
    bool is_null[INDEX_MAX_KEYS];

    /* is_index_known() has made sure that each is a plain column. */
    for (int i = 0; i < IndexRelationGetNumberOfAttributes(index); i++) {
        int column = index->rd_index->indkey.values[i] - 1;

        values[i] = slot->tts_values[column];
        is_null[i] = slot->tts_isnull[column];
    }
    return compat_index_insert(index, values, is_null, &slot->tts_tid, queue->queue.relation,
                               check);
}

/* False when "may_conflict" is set and another row has the key or may have it. */
static bool
insert_index_entries(DirectQueue *queue, bool may_conflict)
{
    if (!insert_entry(queue, queue->queue.index,
                      may_conflict ? UNIQUE_CHECK_PARTIAL : UNIQUE_CHECK_YES) &&
        may_conflict)
        return false;
    open_other_indexes(queue);
    for (int i = 0; i < queue->other_index_count; i++) {
        Relation index = queue->other_indexes[i];

        insert_entry(queue, index,
                     index->rd_index->indisunique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO);
    }
    return true;
}

/*
 * The memory of a row is only used while the row is written, because index scans keep what they
 * allocate.
 */
static MemoryContext
begin_row(DirectQueue *queue)
{
    return MemoryContextSwitchTo(queue->row_context);
}

/* The new version may refer to bytes of the old one until the row is written. */
static void
end_row(DirectQueue *queue, MemoryContext caller)
{
    ExecClearTuple(queue->slot);
    MemoryContextSwitchTo(caller);
    MemoryContextReset(queue->row_context);
}

/*
 * Works like INSERT ... ON CONFLICT (execIndexing.c describes speculative insertion). Inserting
 * an ordinary row and deleting it on a conflict would not do: until this transaction ends, every
 * session that writes an index entry for the same contact would wait for it, and so would claims.
 */
bool
direct_insert(DirectQueue *queue)
{
    Relation relation = queue->queue.relation;
    TransactionId xid = GetCurrentTransactionId();
    uint32 token = SpeculativeInsertionLockAcquire(xid);
    MemoryContext caller = begin_row(queue);
    bool is_alone;

    table_tuple_insert_speculative(relation, queue->slot, GetCurrentCommandId(true), 0, NULL,
                                   token);
    is_alone = insert_index_entries(queue, true);
    table_tuple_complete_speculative(relation, queue->slot, token, is_alone);
    SpeculativeInsertionLockRelease(xid);
    end_row(queue, caller);
    return is_alone;
}

TM_Result
direct_rewrite(DirectQueue *queue, TupleTableSlot *found, bool may_wait)
{
    TM_FailureData failure;
    LockTupleMode lock_mode;
    bool must_index;
    MemoryContext caller = begin_row(queue);
    TM_Result result =
        compat_update_tuple(queue->queue.relation, &found->tts_tid, queue->slot,
                            GetCurrentCommandId(true), may_wait, &failure, &lock_mode, &must_index);

    if (result == TM_Ok && must_index)
        insert_index_entries(queue, false);
    end_row(queue, caller);
    if (result != TM_Ok && result != TM_Updated && result != TM_Deleted &&
        (may_wait || result != TM_BeingModified))
        elog(ERROR, "unexpected result %d of an update of the queue", result);
    return result;
}

TupleTableSlot *
direct_blank(DirectQueue *queue)
{
    start_writing(queue);
    ExecClearTuple(queue->slot);
    memset(queue->slot->tts_isnull, false, COLUMN_COUNT * sizeof(bool));
    return queue->slot;
}

TupleTableSlot *
direct_copy(DirectQueue *queue, TupleTableSlot *found)
{
    TupleTableSlot *slot;

    slot_getallattrs(found);
    slot = direct_blank(queue);
    memcpy(slot->tts_values, found->tts_values, COLUMN_COUNT * sizeof(Datum));
    memcpy(slot->tts_isnull, found->tts_isnull, COLUMN_COUNT * sizeof(bool));
    slot->tts_values[COLUMN_UPDATE_TIMESTAMP] = TimestampTzGetDatum(queue->now);
    ExecStoreVirtualTuple(slot);
    return slot;
}
