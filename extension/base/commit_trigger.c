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
#include "extension/base/gate.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

static bool
is_as_made(const Trigger *trigger, Oid function)
{
    return trigger->tgfoid == function && trigger->tginitdeferred && !trigger->tgqual &&
           trigger->tgtype == (TRIGGER_TYPE_ROW | TRIGGER_TYPE_INSERT); /* that is, AFTER */
}

/* NULL when the table has no trigger with the function. */
static const Trigger *
find_trigger(Relation table, Oid function)
{
    TriggerDesc *triggers = table->trigdesc;

    for (int i = 0; triggers && i < triggers->numtriggers; i++)
        if (is_as_made(&triggers->triggers[i], function))
            return &triggers->triggers[i];
    return NULL;
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

static void
raise_changed(Relation table)
{
    ereport(ERROR, errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
            errmsg("table \"%s.%s\" is not as the extension created it", "ctms",
                   RelationGetRelationName(table)),
            errdetail("It must have one row and a deferred trigger. Without them, the change would "
                      "never be sent to Acoustic."),
            errhint("If the row is gone: INSERT INTO ctms.%s VALUES (true).",
                    RelationGetRelationName(table)));
}

/*
 * Queues our trigger, and no other, for the row, as if the row had just been inserted. It is
 * queued whatever session_replication_role says, and also when somebody has disabled it: what is
 * owed must be done.
 */
static void
queue_trigger(Relation table, const Trigger *found, TupleTableSlot *row)
{
    EState *estate = makeNode(EState);
    ResultRelInfo *target = makeNode(ResultRelInfo);
    Trigger trigger = *found;
    TriggerDesc triggers = {.triggers = &trigger, .numtriggers = 1, .trig_insert_after_row = true};

    trigger.tgenabled = TRIGGER_FIRES_ALWAYS;
    /* All that is read of them: the trigger has no condition and no transition table. */
    target->ri_RelationDesc = table;
    target->ri_TrigDesc = &triggers;
    ExecARInsertTriggers(estate, target, row, NIL, NULL);
    pfree(target);
    pfree(estate);
}

void
commit_trigger_queue(Oid oid, const char *function)
{
    /* Locked until the end of the transaction, like a table with a row that was inserted. */
    Relation table = table_open(oid, RowExclusiveLock);
    Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
    TupleTableSlot *row = table_slot_create(table, NULL);
    bool is_found = find_row(table, snapshot, row);
    Oid function_oid = gate_our_function(function);
    const Trigger *trigger = find_trigger(table, function_oid); /* no catalog is read after this */

    if (!is_found || !trigger)
        raise_changed(table);
    queue_trigger(table, trigger, row);
    ExecDropSingleTupleTableSlot(row);
    UnregisterSnapshot(snapshot);
    table_close(table, NoLock);
}
