/*
 * queue/direct_claim.c: claims queue rows below the executor, without ever waiting.
 *
 * FOR UPDATE SKIP LOCKED sometimes does wait (seen with 15). When the transaction that holds a
 * row ends at that very moment, heap_lock_tuple() goes on to the later versions of the row and
 * waits for the transaction that is writing one of them. An agent locks rows in the order of
 * claiming. So it could wait for a writer that in turn waits for one of the agent's rows, a
 * deadlock in which PostgreSQL would cancel one of the two. Here only the version that was found
 * is locked, if no other transaction is using it, and no other version is followed.
 *
 * For all other cases queue/claim.c has the statements that do the same in SQL.
 */
#include "extension/base/compat.h"

#include "access/genam.h"
#include "access/xact.h"
#include "catalog/pg_am_d.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

#include "extension/queue/claim.h"
#include "extension/queue/direct_table.h"
#include "extension/queue/relations.h"

/* How often a claim looks again when every free row has been written in the meantime. */
#define MAX_LOOKS 3

typedef struct ClaimScan {
    DirectQueue queue;
    Relation index; /* (is_bulk, retry_after NULLS FIRST, retry, create_timestamp) */
    IndexScanDesc scan;
    TupleTableSlot *found;
    MemoryContext row_context;
    bool has_lost_a_race; /* another transaction wrote a row after our snapshot was taken */
} ClaimScan;

/* ---- opening ----------------------------------------------------------------- */

static bool
is_claim_index(const DirectQueue *queue, Relation index)
{
    static const QueueColumn columns[] = {COLUMN_IS_BULK, COLUMN_RETRY_AFTER, COLUMN_RETRY,
                                          COLUMN_CREATE_TIMESTAMP};

    if (!gate_index_is_usable(index) || index->rd_index->indnkeyatts != lengthof(columns))
        return false;
    for (int i = 0; i < (int)lengthof(columns); i++)
        if (index->rd_index->indkey.values[i] != queue->rows.columns[columns[i]] ||
            index->rd_indoption[i] !=
                (columns[i] == COLUMN_RETRY_AFTER ? INDOPTION_NULLS_FIRST : 0))
            return false;
    return true;
}

static bool
open_scan(ClaimScan *scan)
{
    const ResultRelInfo *target;

    if (!direct_table_open(&scan->queue))
        return false;
    target = direct_table_indexes(&scan->queue);
    for (int i = 0; i < target->ri_NumIndices && !scan->index; i++)
        if (is_claim_index(&scan->queue, target->ri_IndexRelationDescs[i]))
            scan->index = target->ri_IndexRelationDescs[i];
    if (!scan->index) {
        direct_table_close(&scan->queue);
        return false;
    }
    scan->found = table_slot_create(target->ri_RelationDesc, NULL);
    scan->row_context =
        AllocSetContextCreate(CurrentMemoryContext, "ctms claimed row", ALLOCSET_SMALL_SIZES);
    return true;
}

static void
close_scan(ClaimScan *scan)
{
    ExecDropSingleTupleTableSlot(scan->found);
    MemoryContextDelete(scan->row_context);
    direct_table_close(&scan->queue);
}

/* ---- scanning ---------------------------------------------------------------- */

static void
start_look(ClaimScan *scan, ScanKey keys, int key_count)
{
    CommandCounterIncrement();
    direct_table_look_anew();
    scan->scan = compat_index_beginscan(scan->queue.rows.relation, scan->index, GetActiveSnapshot(),
                                        key_count);
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
}

/*
 * Locks the row that was found, so that its next version can be written; false when another
 * transaction has written it or is using it.
 */
static bool
take_row(ClaimScan *scan)
{
    ItemPointerData tid = scan->found->tts_tid;
    TM_Result result = direct_table_lock(&scan->queue, &tid, LockWaitSkip, 0);

    if (result == TM_Updated)
        scan->has_lost_a_race = true;
    if (result != TM_Ok)
        return false;
    direct_table_copy(&scan->queue);
    return true;
}

static void
write_row(ClaimScan *scan)
{
    MemoryContext caller = MemoryContextSwitchTo(scan->row_context);

    direct_table_update(&scan->queue);
    MemoryContextSwitchTo(caller);
    MemoryContextReset(scan->row_context);
    ExecClearTuple(scan->queue.rows.found);
}

/* ---- failed rows ------------------------------------------------------------- */

static void
init_lane_key(ScanKey key, bool is_bulk)
{
    ScanKeyInit(key, 1, BTEqualStrategyNumber, F_BOOLEQ, BoolGetDatum(is_bulk));
}

static void
ripen(ClaimScan *scan, bool is_bulk, TimestampTz now, int64 limit)
{
    ScanKeyData keys[2];

    init_lane_key(&keys[0], is_bulk);
    ScanKeyInit(&keys[1], 2, BTLessEqualStrategyNumber, F_TIMESTAMPTZ_LE, TimestampTzGetDatum(now));
    start_look(scan, keys, 2);
    while (limit > 0 && next_row(scan)) {
        if (!take_row(scan))
            continue;
        direct_table_set_null(&scan->queue, COLUMN_RETRY_AFTER);
        write_row(scan);
        limit--;
    }
    end_look(scan);
}

/* ---- claiming ---------------------------------------------------------------- */

/* Rows of an earlier look of this claim count, even if a lease of no time has ended already. */
static bool
is_leased(ClaimScan *scan, TimestampTz now, TimestampTz lease_until)
{
    bool is_null;
    Datum value = slot_getattr(scan->found, scan->queue.rows.columns[COLUMN_LEASE_UNTIL], &is_null);
    TimestampTz until = DatumGetTimestampTz(value);

    return !is_null && (until > now || until == lease_until);
}

/* Leases the row that was found, if it is free. */
static bool
lease_row(ClaimScan *scan, Claim *claim, TimestampTz lease_until)
{
    DirectQueue *queue = &scan->queue;
    ClaimedRow *row = &claim->rows[claim->count];

    if (is_leased(scan, claim->now, lease_until) || !take_row(scan))
        return false;
    row->email_id = *DatumGetUUIDP(direct_table_get(queue, COLUMN_EMAIL_ID));
    row->generation = DatumGetInt64(direct_table_get(queue, COLUMN_GENERATION));
    row->retry = DatumGetInt32(direct_table_get(queue, COLUMN_RETRY));
    row->state = DatumGetBool(direct_table_get(queue, COLUMN_IS_TRIED)) ? "again" : "new";
    row->create_timestamp = DatumGetTimestampTz(direct_table_get(queue, COLUMN_CREATE_TIMESTAMP));
    row->is_bulk = DatumGetBool(direct_table_get(queue, COLUMN_IS_BULK));

    direct_table_set(queue, COLUMN_LEASE_OWNER, claim->agent);
    direct_table_set(queue, COLUMN_LEASE_UNTIL, TimestampTzGetDatum(lease_until));
    direct_table_set(queue, COLUMN_IS_TRIED, BoolGetDatum(true));
    write_row(scan);
    return true;
}

static void
lease_rows(ClaimScan *scan, Claim *claim, const ClaimLook *look)
{
    TimestampTz lease_until = DatumGetTimestampTz(DirectFunctionCall2(
        timestamptz_pl_interval, TimestampTzGetDatum(claim->now), claim->lease));
    int end = claim->count + look->limit;
    ScanKeyData keys[4];

    init_lane_key(&keys[0], look->is_bulk);
    ScanKeyEntryInitialize(&keys[1], SK_ISNULL | SK_SEARCHNULL, 2, InvalidStrategy, InvalidOid,
                           InvalidOid, InvalidOid, (Datum)0);
    if (look->from) {
        ScanKeyInit(&keys[2], 3, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(0));
        ScanKeyInit(&keys[3], 4, BTGreaterEqualStrategyNumber, F_TIMESTAMPTZ_GE,
                    TimestampTzGetDatum(*look->from));
    } else {
        ScanKeyInit(&keys[2], 3, BTLessStrategyNumber, F_INT4LT, Int32GetDatum(claim->retry_limit));
    }
    start_look(scan, keys, look->from ? 4 : 3);
    while (claim->count < end && next_row(scan))
        if (lease_row(scan, claim, lease_until))
            claim->count++;
    end_look(scan);
}

bool
direct_claim(Claim *claim, const ClaimLook *look)
{
    ClaimScan scan = {0};
    int before = claim->count;

    /* The statements know what must wait for a deletion. */
    if (queue_is_table_used(queue_relations()->deleted_contacts) || !open_scan(&scan))
        return false;
    PreventCommandIfReadOnly("ctms.claim_acoustic()");
    if (look->makes_ripe)
        ripen(&scan, look->is_bulk, claim->now, look->limit + RIPE_ROWS);
    for (int round = 0; round < MAX_LOOKS; round++) {
        lease_rows(&scan, claim, look);
        if (claim->count > before || !scan.has_lost_a_race)
            break;
    }
    close_scan(&scan);
    return true;
}
