/*
 * queue_direct_table.c: reads and writes rows of the queue below the executor.
 */
#include "compat.h"

#include "access/genam.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_am_d.h"
#include "executor/executor.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

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

/* One whose entries are values of columns, and that raises its errors at once. */
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
    bool is_known = OidIsValid(ctms_primary_key_index(relation));
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

/* The queue that was found to be plain; any change of its definition makes us look again. */
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
    /* As a statement does with its tables, locks stay until the transaction ends. */
    index_close(table->index, NoLock);
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
    if (!is_table_known(relation)) {
        table_close(relation, RowExclusiveLock);
        return NULL;
    }

    queue = palloc0(sizeof(*queue));
    queue->context = CurrentMemoryContext;
    queue->relations = *relations;
    queue->now = GetCurrentTimestamp();
    InitDirtySnapshot(queue->dirty);
    ctms_keyed_open(&queue->queue, relation, &queue->dirty);
    return queue;
}

void
ctms_direct_close(DirectQueue *queue)
{
    for (int i = 0; i < queue->index_count; i++)
        index_close(queue->indexes[i].relation, NoLock);
    ctms_keyed_close(&queue->queue);
    ctms_keyed_close(&queue->emails);
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

void
ctms_direct_start_writing(DirectQueue *queue)
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
open_indexes(DirectQueue *queue)
{
    MemoryContext caller;
    List *oids;
    ListCell *cell;

    if (queue->indexes)
        return;
    caller = MemoryContextSwitchTo(queue->context);
    oids = RelationGetIndexList(queue->queue.relation);
    queue->indexes = palloc(list_length(oids) * sizeof(QueueIndex));
    foreach (cell, oids) {
        QueueIndex *index = &queue->indexes[queue->index_count++];

        index->relation = index_open(lfirst_oid(cell), RowExclusiveLock);
        index->info = BuildIndexInfo(index->relation);
    }
    list_free(oids);
    MemoryContextSwitchTo(caller);
}

/* False when "may_conflict", and another row has the key, or may have it. */
static bool
insert_index_entries(DirectQueue *queue, bool may_conflict)
{
    Relation relation = queue->queue.relation;
    Oid key = RelationGetRelid(queue->queue.index);
    Datum values[INDEX_MAX_KEYS];
    bool is_null[INDEX_MAX_KEYS];

    open_indexes(queue);
    for (int i = 0; i < queue->index_count; i++) {
        QueueIndex *index = &queue->indexes[i];
        IndexUniqueCheck check = UNIQUE_CHECK_NO;

        if (index->relation->rd_index->indisunique)
            check = may_conflict && RelationGetRelid(index->relation) == key ? UNIQUE_CHECK_PARTIAL
                                                                             : UNIQUE_CHECK_YES;
        FormIndexDatum(index->info, queue->slot, NULL, values, is_null);
        if (!ctms_index_insert(index->relation, values, is_null, &queue->slot->tts_tid, relation,
                               check, index->info) &&
            check == UNIQUE_CHECK_PARTIAL)
            return false;
    }
    return true;
}

/*
 * As INSERT ... ON CONFLICT does (execIndexing.c describes speculative insertion). An ordinary row,
 * deleted again, would not do: until its transaction ends everybody who writes an index entry for
 * the same contact would wait for it, claims among them.
 */
bool
ctms_direct_insert(DirectQueue *queue)
{
    Relation relation = queue->queue.relation;
    TransactionId xid = GetCurrentTransactionId();
    uint32 token = SpeculativeInsertionLockAcquire(xid);
    bool is_alone;

    table_tuple_insert_speculative(relation, queue->slot, GetCurrentCommandId(true), 0, NULL,
                                   token);
    is_alone = insert_index_entries(queue, true);
    table_tuple_complete_speculative(relation, queue->slot, token, is_alone);
    SpeculativeInsertionLockRelease(xid);
    return is_alone;
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

    if (result == TM_Ok && must_index)
        insert_index_entries(queue, false);
    if (result != TM_Ok && result != TM_Updated && result != TM_Deleted &&
        (may_wait || result != TM_BeingModified))
        elog(ERROR, "unexpected result %d of an update of the queue", result);
    return result;
}

TupleTableSlot *
ctms_direct_copy(DirectQueue *queue, TupleTableSlot *found)
{
    TupleTableSlot *slot;

    ctms_direct_start_writing(queue);
    slot = queue->slot;
    slot_getallattrs(found);
    ExecClearTuple(slot);
    memcpy(slot->tts_values, found->tts_values, COLUMN_COUNT * sizeof(Datum));
    memcpy(slot->tts_isnull, found->tts_isnull, COLUMN_COUNT * sizeof(bool));
    slot->tts_values[COLUMN_UPDATE_TIMESTAMP] = TimestampTzGetDatum(queue->now);
    ExecStoreVirtualTuple(slot);
    return slot;
}
