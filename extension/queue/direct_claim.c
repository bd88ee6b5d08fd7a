/*
 * queue/direct_claim.c: claims queue rows below the executor, without ever waiting.
 *
 * FOR UPDATE SKIP LOCKED sometimes does wait (seen with 15). When the transaction that holds a
 * row ends at that very moment, heap_lock_tuple() goes on to the later versions of the row and
 * waits for the transaction that is writing one of them. An agent locks rows in the order of
 * claiming. So it could wait for a writer that in turn waits for one of the agent's rows, a
 * deadlock in which PostgreSQL would cancel one of the two. Here a row is leased in a single
 * step: its next version is written only if no other transaction is writing or locking it.
 *
 * For all other cases queue/claim.c has the statements that do the same in SQL.
 */
#include "extension/base/compat.h"

#include "access/nbtree.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_am_d.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "extension/queue/claim.h"
#include "extension/queue/direct_table.h"

/* How often a claim looks again when every free row has been written in the meantime. */
#define MAX_LOOKS 3

/* The columns of ctms.acoustic_deleted_contact that a claim looks at. */
enum { DELETED_EMAIL_ID, DELETED_IS_TO_SEND, DELETED_RETRY_AFTER, DELETED_LEASE_UNTIL };
static const struct {
    const char *name;
    AttrNumber number;
} deleted_columns[] = {{"email_id", 1}, {"is_to_send", 2}, {"retry_after", 6}, {"lease_until", 7}};

typedef struct ClaimScan {
    DirectQueue *queue;
    Relation index; /* (retry_after NULLS FIRST, retry, create_timestamp) */
    IndexScanDesc scan;
    Snapshot snapshot;
    TupleTableSlot *found;
    KeyedTable deleted;   /* not open when the table has no rows */
    bool has_lost_a_race; /* another transaction wrote a row after our snapshot was taken */
} ClaimScan;

/* ---- opening ----------------------------------------------------------------- */

static bool
is_claim_index(Relation index)
{
    static const AttrNumber columns[] = {COLUMN_RETRY_AFTER + 1, COLUMN_RETRY + 1,
                                         COLUMN_CREATE_TIMESTAMP + 1};

    if (index->rd_rel->relam != BTREE_AM_OID || !index->rd_index->indisvalid ||
        index->rd_index->indnkeyatts != lengthof(columns) ||
        RelationGetIndexPredicate(index) != NIL ||
        index->rd_indoption[0] != INDOPTION_NULLS_FIRST || index->rd_indoption[1] != 0 ||
        index->rd_indoption[2] != 0)
        return false;
    for (int i = 0; i < (int)lengthof(columns); i++)
        if (index->rd_index->indkey.values[i] != columns[i])
            return false;
    return true;
}

static Relation
open_claim_index(Relation queue)
{
    List *indexes = RelationGetIndexList(queue);
    Relation found = NULL;
    ListCell *cell;

    foreach (cell, indexes) {
        Relation index = index_open(lfirst_oid(cell), AccessShareLock);

        if (is_claim_index(index)) {
            found = index;
            break;
        }
        index_close(index, AccessShareLock);
    }
    list_free(indexes);
    return found;
}

static bool
open_deleted(ClaimScan *scan)
{
    Oid table = scan->queue->relations.deleted_contacts;
    Relation relation;
    TupleDesc desc;
    bool is_known;

    if (!queue_is_table_used(table))
        return true;
    relation = table_open(table, AccessShareLock);
    desc = RelationGetDescr(relation);
    is_known = OidIsValid(compat_primary_key_index(relation));
    for (int i = 0; i < (int)lengthof(deleted_columns); i++)
        is_known = is_known && desc->natts >= deleted_columns[i].number &&
                   strcmp(NameStr(TupleDescAttr(desc, deleted_columns[i].number - 1)->attname),
                          deleted_columns[i].name) == 0;
    if (is_known)
        keyed_table_open(&scan->deleted, relation, compat_primary_key_index(relation),
                         AccessShareLock);
    else
        table_close(relation, AccessShareLock);
    return is_known;
}

static void
close_scan(ClaimScan *scan)
{
    keyed_table_close(&scan->deleted);
    if (scan->found)
        ExecDropSingleTupleTableSlot(scan->found);
    if (scan->index)
        index_close(scan->index, AccessShareLock);
    direct_close(scan->queue);
}

static bool
open_scan(ClaimScan *scan)
{
    scan->queue = direct_open();
    if (!scan->queue)
        return false;
    scan->index = open_claim_index(scan->queue->queue.relation);
    if (!scan->index || !open_deleted(scan)) {
        close_scan(scan);
        return false;
    }
    scan->found = table_slot_create(scan->queue->queue.relation, NULL);
    return true;
}

/* ---- scanning ---------------------------------------------------------------- */

static void
start_look(ClaimScan *scan, ScanKey keys, int key_count)
{
    CommandCounterIncrement();
    scan->snapshot = RegisterSnapshot(GetLatestSnapshot());
    scan->scan =
        compat_index_beginscan(scan->queue->queue.relation, scan->index, scan->snapshot, key_count);
    index_rescan(scan->scan, keys, key_count, NULL, 0);
    scan->has_lost_a_race = false;
}

static bool
next_row(ClaimScan *scan)
{
    CHECK_FOR_INTERRUPTS();
    return index_getnext_slot(scan->scan, ForwardScanDirection, scan->found);
}

static void
end_look(ClaimScan *scan)
{
    ExecClearTuple(scan->found);
    index_endscan(scan->scan);
    UnregisterSnapshot(scan->snapshot);
}

/*
 * Writes the queue's slot as the next version of the row that was found; false when another
 * transaction has written it or is using it.
 */
static bool
write_row(ClaimScan *scan)
{
    TM_Result result = direct_rewrite(scan->queue, scan->found, false);

    if (result == TM_Updated)
        scan->has_lost_a_race = true;
    return result == TM_Ok;
}

/* ---- failed rows ------------------------------------------------------------- */

static void
ripen(ClaimScan *scan, TimestampTz now, int64 limit)
{
    ScanKeyData is_over;

    ScanKeyInit(&is_over, 1, BTLessEqualStrategyNumber, F_TIMESTAMPTZ_LE, TimestampTzGetDatum(now));
    start_look(scan, &is_over, 1);
    while (limit > 0 && next_row(scan)) {
        direct_copy(scan->queue, scan->found)->tts_isnull[COLUMN_RETRY_AFTER] = true;
        if (write_row(scan))
            limit--;
    }
    end_look(scan);
}

/* ---- claiming ---------------------------------------------------------------- */

/* A time column of the deletion that was found; DT_NOBEGIN when it is null. */
static TimestampTz
deletion_time(KeyedTable *deleted, int column)
{
    bool is_null;
    Datum value = slot_getattr(deleted->found, deleted_columns[column].number, &is_null);

    return is_null ? DT_NOBEGIN : DatumGetTimestampTz(value);
}

/*
 * If a deleted contact has been created again, its row waits until Acoustic has been told of the
 * deletion (or that was given up), and until no agent is still sending the old contact.
 */
static bool
waits_for_deletion(ClaimScan *scan, const pg_uuid_t *email_id, TimestampTz now)
{
    KeyedTable *deleted = &scan->deleted;
    bool is_null;
    bool is_to_send;
    bool is_waiting;

    if (!deleted->relation || !keyed_table_find_uuid(deleted, scan->snapshot, email_id))
        return false;
    is_to_send = DatumGetBool(
        slot_getattr(deleted->found, deleted_columns[DELETED_IS_TO_SEND].number, &is_null));
    is_waiting = (is_to_send && !TIMESTAMP_IS_NOEND(deletion_time(deleted, DELETED_RETRY_AFTER))) ||
                 deletion_time(deleted, DELETED_LEASE_UNTIL) > now;
    ExecClearTuple(deleted->found);
    return is_waiting;
}

/* Leases the row that was found, if it is free. */
static bool
lease_row(ClaimScan *scan, Claim *claim, TimestampTz lease_until)
{
    TupleTableSlot *slot = direct_copy(scan->queue, scan->found);
    ClaimedRow *row = &claim->rows[claim->count];

    if (!slot->tts_isnull[COLUMN_LEASE_UNTIL] &&
        DatumGetTimestampTz(slot->tts_values[COLUMN_LEASE_UNTIL]) > claim->now)
        return false;
    row->email_id = *DatumGetUUIDP(slot->tts_values[COLUMN_EMAIL_ID]);
    row->generation = DatumGetInt64(slot->tts_values[COLUMN_GENERATION]);
    row->retry = DatumGetInt32(slot->tts_values[COLUMN_RETRY]);
    row->state = DatumGetBool(slot->tts_values[COLUMN_IS_TRIED]) ? "again" : "new";
    row->create_timestamp = DatumGetTimestampTz(slot->tts_values[COLUMN_CREATE_TIMESTAMP]);
    if (waits_for_deletion(scan, &row->email_id, claim->now))
        return false;

    slot->tts_values[COLUMN_LEASE_OWNER] = claim->agent;
    slot->tts_isnull[COLUMN_LEASE_OWNER] = false;
    slot->tts_values[COLUMN_LEASE_UNTIL] = TimestampTzGetDatum(lease_until);
    slot->tts_isnull[COLUMN_LEASE_UNTIL] = false;
    slot->tts_values[COLUMN_IS_TRIED] = BoolGetDatum(true);
    return write_row(scan);
}

static void
lease_rows(ClaimScan *scan, Claim *claim, const TimestampTz *from)
{
    TimestampTz lease_until = DatumGetTimestampTz(DirectFunctionCall2(
        timestamptz_pl_interval, TimestampTzGetDatum(claim->now), claim->lease));
    ScanKeyData keys[3];

    ScanKeyEntryInitialize(&keys[0], SK_ISNULL | SK_SEARCHNULL, 1, InvalidStrategy, InvalidOid,
                           InvalidOid, InvalidOid, (Datum)0);
    if (from) {
        ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(0));
        ScanKeyInit(&keys[2], 3, BTGreaterEqualStrategyNumber, F_TIMESTAMPTZ_GE,
                    TimestampTzGetDatum(*from));
    } else {
        ScanKeyInit(&keys[1], 2, BTLessStrategyNumber, F_INT4LT, Int32GetDatum(claim->retry_limit));
    }
    start_look(scan, keys, from ? 3 : 2);
    while (claim->count < claim->batch_limit && next_row(scan))
        if (lease_row(scan, claim, lease_until))
            claim->count++;
    end_look(scan);
}

static int
compare_rows(const void *a, const void *b)
{
    const ClaimedRow *x = a;
    const ClaimedRow *y = b;

    if (x->retry != y->retry)
        return x->retry < y->retry ? -1 : 1;
    if (x->create_timestamp != y->create_timestamp)
        return x->create_timestamp < y->create_timestamp ? -1 : 1;
    return memcmp(&x->email_id, &y->email_id, UUID_LEN);
}

bool
direct_claim(Claim *claim, const TimestampTz *from)
{
    ClaimScan scan = {0};

    if (!open_scan(&scan))
        return false;
    PreventCommandIfReadOnly("ctms.claim_acoustic()");
    if (!from)
        ripen(&scan, claim->now, claim->batch_limit + RIPE_ROWS);
    for (int look = 0; look < MAX_LOOKS; look++) {
        lease_rows(&scan, claim, from);
        if (claim->count > 0 || !scan.has_lost_a_race)
            break;
    }
    close_scan(&scan);
    qsort(claim->rows, claim->count, sizeof(ClaimedRow), compare_rows);
    return true;
}
