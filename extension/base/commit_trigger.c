/*
 * base/commit_trigger.c: has a trigger called when the transaction commits, with the deferred
 * triggers and constraints of other tables.
 *
 * PostgreSQL is told that the only row of a table of ours was inserted just now, and does all the
 * rest. The row stays as it is. Were the trigger on a table that users change, that table could
 * not be altered or truncated in the same transaction (docs/decisions/writing-the-queue.md).
 */
#include "extension/base/compat.h"

#include "extension/base/commit_trigger.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

static bool
has_trigger(Relation table)
{
    TriggerDesc *triggers = table->trigdesc;

    return triggers && triggers->numtriggers == 1 && triggers->triggers[0].tginitdeferred &&
           triggers->triggers[0].tgenabled == TRIGGER_FIRES_ALWAYS;
}

/* Finds the row, mostly where it was found before. */
static bool
find_row(Relation table, Snapshot snapshot, TupleTableSlot *row)
{
    static Oid seen_file = InvalidOid;
    static ItemPointerData seen_at;
    TableScanDesc scan;
    bool is_found;

    if (seen_file == table->rd_rel->relfilenode &&
        table_tuple_fetch_row_version(table, &seen_at, snapshot, row))
        return true;
    scan = table_beginscan(table, snapshot, 0, NULL);
    is_found = table_scan_getnextslot(scan, ForwardScanDirection, row);
    if (is_found) {
        seen_file = table->rd_rel->relfilenode;
        seen_at = row->tts_tid;
    }
    table_endscan(scan);
    return is_found;
}

/* Queues the deferred trigger for the row, as if it had just been inserted. */
static void
queue_trigger(Relation table, Snapshot snapshot)
{
    EState *estate = makeNode(EState);
    ResultRelInfo *target = makeNode(ResultRelInfo);
    TupleTableSlot *row = table_slot_create(table, NULL);

    if (!has_trigger(table) || !find_row(table, snapshot, row))
        ereport(ERROR, errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                errmsg("table \"%s.%s\" is not as the extension created it", "ctms",
                       RelationGetRelationName(table)),
                errdetail("It must have one row, and its deferred trigger must be enabled. Without "
                          "them, the change would never be sent to Acoustic."));
    /* All that is read of them: the trigger has no condition and no transition table. */
    target->ri_RelationDesc = table;
    target->ri_TrigDesc = table->trigdesc;
    ExecARInsertTriggers(estate, target, row, NIL, NULL);
    ExecDropSingleTupleTableSlot(row);
    pfree(target);
    pfree(estate);
}

void
commit_trigger_queue(Oid oid)
{
    /* Locked until the end of the transaction, like a table with a row that was inserted. */
    Relation table = table_open(oid, RowExclusiveLock);
    Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());

    queue_trigger(table, snapshot);
    UnregisterSnapshot(snapshot);
    table_close(table, NoLock);
}
