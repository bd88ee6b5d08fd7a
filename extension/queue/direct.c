/*
 * queue/direct.c: enqueues contacts below the executor.
 *
 * Every transaction that changes a contact writes one queue row. In SQL that costs as much as the
 * change itself, most of it for starting the executor and for checking the foreign key. Here the
 * contact is held and its queue row is found through their indexes, and then the row is locked,
 * updated or inserted.
 *
 * Rows are found with a dirty snapshot, at each isolation level: whatever happens to them, they are
 * locked before it is decided what to do. So nothing here is part of what the transaction reads,
 * and SERIALIZABLE takes it for no dependency on others. Such a scan can miss a row that another
 * session updates meanwhile. So only the latest snapshot tells that a contact is gone; and a queue
 * row that was missed is found when it is inserted. While it waits for another transaction, no
 * page of an index is pinned. Otherwise VACUUM would wait for us, and nobody could see whom we wait
 * for.
 *
 * For all other cases queue/enqueue.c has a statement that does the same in SQL.
 * test/t/210_queue_paths.pl checks that both give the same results.
 */
#include "extension/base/compat.h"

#include "access/htup_details.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "common/pg_prng.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "extension/queue/direct.h"
#include "extension/queue/direct_table.h"

/*
 * Finds the row with the key, also while another session writes its next version; passes over rows
 * that others are inserting.
 */
static bool
find(GateScan *scan, SnapshotData *dirty, const pg_uuid_t *key)
{
    bool is_found = gate_find(scan, dirty, key);

    while (is_found && TransactionIdIsValid(dirty->xmin))
        is_found = gate_next(scan);
    return is_found;
}

/* Where the row is that was found. From here on, waiting is allowed. */
static ItemPointerData
leave_found(GateScan *scan)
{
    ItemPointerData tid = scan->found->tts_tid;

    gate_release(scan);
    return tid;
}

/* ---- holding contacts ---------------------------------------------------------- */

/*
 * A row that this transaction has written is locked more strongly already. The number in a frozen
 * row says nothing: it may be used for the second time.
 */
static bool
is_written_by_us(TupleTableSlot *found)
{
    HeapTuple row = ExecFetchSlotHeapTuple(found, false, NULL);

    return TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(row->t_data));
}

typedef enum Hold { HELD, GONE, BUSY } Hold;

/*
 * If another session is updating the contact, its new version is locked together with the one
 * found. Only a session that deletes the contact, changes its key or has locked it as strongly is
 * in the way. It is not waited for, because it may have to wait for this transaction.
 */
static TM_Result
lock_contact(GateScan *emails)
{
    ItemPointerData tid = leave_found(emails);
    TM_FailureData failure;

    return table_tuple_lock(emails->relation, &tid, InvalidSnapshot, emails->found,
                            GetCurrentCommandId(true), LockTupleKeyShare, LockWaitSkip,
                            TUPLE_LOCK_FLAG_LOCK_UPDATE_IN_PROGRESS, &failure);
}

/*
 * Whether there is no such contact. A dirty scan that found none may have seen the new version of
 * the row too early, and the old one too late.
 */
static bool
is_gone(GateScan *emails, const pg_uuid_t *email_id)
{
    Snapshot latest = RegisterSnapshot(GetLatestSnapshot());
    bool is_found = gate_find(emails, latest, email_id);

    gate_release(emails);
    UnregisterSnapshot(latest);
    return !is_found;
}

static Hold
hold(GateScan *emails, SnapshotData *dirty, const pg_uuid_t *email_id)
{
    for (;;) {
        TM_Result result;

        CHECK_FOR_INTERRUPTS();
        if (!find(emails, dirty, email_id)) {
            if (is_gone(emails, email_id))
                return GONE;
            continue;
        }
        result = is_written_by_us(emails->found) ? TM_Ok : lock_contact(emails);
        if (result == TM_Ok)
            return HELD;
        if (result == TM_Deleted)
            return GONE;
        if (result == TM_WouldBlock)
            return BUSY;
        if (result != TM_Updated) /* just now: look for the new version */
            elog(ERROR, "unexpected result %d of a lock of a contact", result);
    }
}

static const GateColumn email_id_column[] = {{"email_id", UUIDOID, true}};
static GateTable emails_table = {.name = "emails",
                                 .columns = email_id_column,
                                 .column_count = 1,
                                 .key = 0,
                                 .is_key_unique = true,
                                 .rights = ACL_NO_RIGHTS};

bool
direct_hold(FeedKeys *contacts, FeedKeys *busy)
{
    pg_uuid_t *ids = (pg_uuid_t *)contacts->keys;
    SnapshotData dirty;
    GateScan emails;
    int64 held = 0;

    if (!gate_open(&emails, &emails_table, RowShareLock))
        return false;
    InitDirtySnapshot(dirty);
    for (int64 i = 0; i < contacts->count; i++)
        switch (hold(&emails, &dirty, &ids[i])) {
        case HELD: ids[held++] = ids[i]; break;
        case BUSY: feed_keys_add(busy, &ids[i]); break;
        case GONE: break;
        }
    contacts->count = held;
    gate_close(&emails);
    return true;
}

/* ---- writing queue rows ------------------------------------------------------------ */

/*
 * A positive number that never comes again: 63 random bits. Numbers of transactions would repeat
 * where a row changes twice, or after a restore; a sequence would show in the session's lastval().
 */
static Datum
new_generation(void)
{
    return Int64GetDatum((int64)(pg_prng_uint64(&pg_global_prng_state) >> 1));
}

static bool
insert_row(DirectQueue *queue, const pg_uuid_t *email_id, bool is_bulk)
{
    direct_table_blank(queue);
    direct_table_set(queue, COLUMN_EMAIL_ID, UUIDPGetDatum(email_id));
    direct_table_set(queue, COLUMN_RETRY, Int32GetDatum(0));
    direct_table_set(queue, COLUMN_GENERATION, new_generation());
    direct_table_set(queue, COLUMN_CREATE_TIMESTAMP, TimestampTzGetDatum(queue->now));
    direct_table_set(queue, COLUMN_UPDATE_TIMESTAMP, TimestampTzGetDatum(queue->now));
    direct_table_set(queue, COLUMN_IS_TRIED, BoolGetDatum(false));
    direct_table_set(queue, COLUMN_IS_BULK, BoolGetDatum(is_bulk));
    return direct_table_insert(queue);
}

/*
 * True when nobody has claimed the row yet and it has not failed. Then no agent knows its
 * generation, and there is nothing to reset. An agent that claims it after this transaction reads
 * what this transaction wrote, so its lock is enough, which costs half as much as a new version.
 */
static bool
is_untouched(DirectQueue *queue)
{
    return !DatumGetBool(direct_table_get(queue, COLUMN_IS_TRIED)) &&
           DatumGetInt32(direct_table_get(queue, COLUMN_RETRY)) == 0 &&
           direct_table_is_null(queue, COLUMN_RETRY_AFTER) &&
           direct_table_is_null(queue, COLUMN_LEASE_OWNER);
}

/* A file of contacts holds it (queue/bulk.c): it waits until the end of the run, also changed. */
static bool
is_held(DirectQueue *queue)
{
    return !direct_table_is_null(queue, COLUMN_RETRY_AFTER) &&
           !direct_table_is_null(queue, COLUMN_LEASE_UNTIL) &&
           DatumGetTimestampTz(direct_table_get(queue, COLUMN_RETRY_AFTER)) ==
               DatumGetTimestampTz(direct_table_get(queue, COLUMN_LEASE_UNTIL));
}

/*
 * Gives the row that is locked a new generation and resets its failures; a live lease stays. After
 * a failure, and in another lane, the row starts again, behind the rows that wait for their first
 * attempt.
 */
static void
update_row(DirectQueue *queue, bool is_moved_up)
{
    direct_table_set(queue, COLUMN_GENERATION, new_generation());
    if (is_moved_up || DatumGetInt32(direct_table_get(queue, COLUMN_RETRY)) > 0)
        direct_table_set(queue, COLUMN_CREATE_TIMESTAMP, TimestampTzGetDatum(queue->now));
    if (is_moved_up)
        direct_table_set(queue, COLUMN_IS_BULK, BoolGetDatum(false));
    direct_table_set(queue, COLUMN_RETRY, Int32GetDatum(0));
    direct_table_set_null(queue, COLUMN_LAST_ERROR);
    if (!is_held(queue))
        direct_table_set_null(queue, COLUMN_RETRY_AFTER);
    direct_table_update(queue);
}

/* False when the row that was found is gone: look again. */
static bool
lock_row(DirectQueue *queue)
{
    ItemPointerData tid = leave_found(&queue->rows);

    return direct_table_lock(queue, &tid, LockWaitBlock, TUPLE_LOCK_FLAG_FIND_LAST_VERSION) ==
           TM_Ok;
}

static void
renew_row(DirectQueue *queue, bool is_bulk)
{
    bool is_moved_up;

    direct_table_copy(queue);
    is_moved_up = !is_bulk && DatumGetBool(direct_table_get(queue, COLUMN_IS_BULK));
    if (is_moved_up || !is_untouched(queue))
        update_row(queue, is_moved_up);
    ExecClearTuple(queue->slot);
    ExecClearTuple(queue->rows.found);
}

/* False when another session has removed the row, or is inserting it: look again. */
static bool
enqueue(DirectQueue *queue, SnapshotData *dirty, MemoryContext row_context,
        const pg_uuid_t *email_id, bool is_bulk)
{
    bool is_found = find(&queue->rows, dirty, email_id);
    MemoryContext caller;
    bool is_done;

    if (is_found && !lock_row(queue))
        return false;
    /* Scans keep what they allocate, so they do not use this context. */
    caller = MemoryContextSwitchTo(row_context);
    if (is_found)
        renew_row(queue, is_bulk);
    is_done = is_found || insert_row(queue, email_id, is_bulk);
    MemoryContextSwitchTo(caller);
    MemoryContextReset(row_context);
    return is_done;
}

static void
enqueue_all(DirectQueue *queue, const FeedKeys *contacts, const Lane *lane)
{
    const pg_uuid_t *ids = (const pg_uuid_t *)contacts->keys;
    SnapshotData dirty;
    MemoryContext row_context =
        AllocSetContextCreate(CurrentMemoryContext, "ctms queue row", ALLOCSET_SMALL_SIZES);

    InitDirtySnapshot(dirty);
    for (int64 i = 0; i < contacts->count; i++) {
        bool is_bulk = lane_is_bulk(lane, &ids[i]);

        CHECK_FOR_INTERRUPTS();
        while (!enqueue(queue, &dirty, row_context, &ids[i], is_bulk))
            CHECK_FOR_INTERRUPTS();
    }
    MemoryContextDelete(row_context);
}

bool
direct_enqueue(const FeedKeys *contacts, const Lane *lane)
{
    DirectQueue queue;

    if (!direct_table_open(&queue))
        return false;
    enqueue_all(&queue, contacts, lane);
    direct_table_close(&queue);
    return true;
}
