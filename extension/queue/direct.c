/*
 * queue/direct.c: enqueues contacts below the executor.
 *
 * Every transaction that changes a contact writes one queue row. In SQL that costs as much as the
 * change itself, most of it for starting the executor and for checking the foreign key. Here the
 * same is done directly on the table and its indexes: find the row by email_id, then lock it,
 * write a new version of it, or insert one.
 *
 * For all other cases queue/enqueue.c has a statement that does the same in SQL.
 * test/t/210_queue_paths.pl checks that both give the same results. queue/direct_table.c reads
 * and writes the rows; queue/direct_claim.c claims them.
 */
#include "extension/base/compat.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "commands/sequence.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "extension/queue/direct.h"
#include "extension/queue/direct_table.h"

/* ---- finding ----------------------------------------------------------------- */

/* Finds the queue row, after waiting for every transaction that is writing it. */
static bool
find_queue_row(DirectQueue *queue, const pg_uuid_t *email_id)
{
    while (keyed_table_find_uuid(&queue->queue, &queue->dirty, email_id)) {
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
}

/*
 * If another session is updating the contact, its new version is locked together with the one
 * found. This waits only if that session deletes the contact. If a newer version has been
 * committed since the snapshot, the row is looked up again with a new snapshot.
 * table_tuple_lock() could follow the versions instead, but then it would wait for any session
 * that is writing the next version.
 */
bool
direct_hold(DirectQueue *queue, const pg_uuid_t *email_id)
{
    KeyedTable *emails = &queue->emails;
    TM_FailureData failure;
    TM_Result result;

    if (!emails->relation) {
        Relation relation = table_open(queue->relations.emails, RowShareLock);

        keyed_table_open(emails, relation, compat_primary_key_index(relation), AccessShareLock);
        look_anew(queue);
    }
    while (keyed_table_find_uuid(emails, queue->latest, email_id)) {
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

/* False when another transaction has inserted the row first: look again. */
static bool
insert_row(DirectQueue *queue, const pg_uuid_t *email_id, int64 generation)
{
    TupleTableSlot *slot = direct_blank(queue);

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

    return direct_insert(queue);
}

/*
 * Gives the row that was found a new generation and resets its failures; a live lease stays.
 * False when another transaction has written the row in the meantime: look again.
 */
static bool
update_row(DirectQueue *queue, int64 generation)
{
    TupleTableSlot *found = queue->queue.found;
    TupleTableSlot *slot = direct_copy(queue, found);
    int64 old_generation = DatumGetInt64(slot->tts_values[COLUMN_GENERATION]);

    slot->tts_values[COLUMN_GENERATION] = Int64GetDatum(Max(old_generation + 1, generation));
    /* After a failure the row starts again, behind the rows that wait for their first attempt. */
    if (DatumGetInt32(slot->tts_values[COLUMN_RETRY]) > 0)
        slot->tts_values[COLUMN_CREATE_TIMESTAMP] = TimestampTzGetDatum(queue->now);
    slot->tts_values[COLUMN_RETRY] = Int32GetDatum(0);
    slot->tts_isnull[COLUMN_LAST_ERROR] = true;
    slot->tts_isnull[COLUMN_RETRY_AFTER] = true;
    return direct_rewrite(queue, found, true) == TM_Ok;
}

/*
 * True when nobody has claimed the row yet and it has not failed. Then no agent knows its
 * generation, and there is nothing to reset. An agent that claims it after this transaction reads
 * what this transaction wrote, so a lock is enough.
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
 * Keeps the row from being claimed until the transaction ends. A lock costs half as much as a new
 * version of the row. False when another transaction has written the row in the meantime: look
 * again.
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

void
direct_enqueue(DirectQueue *queue, const pg_uuid_t *email_id, int64 generation)
{
    bool is_done = false;

    while (!is_done) {
        bool is_found = find_queue_row(queue, email_id);

        CHECK_FOR_INTERRUPTS();
        if (!is_found)
            is_done = insert_row(queue, email_id, generation);
        else if (is_untouched(queue->queue.found))
            is_done = lock_row(queue);
        else
            is_done = update_row(queue, generation);
        ExecClearTuple(queue->queue.found);
    }
}
