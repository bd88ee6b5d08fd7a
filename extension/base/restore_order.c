/*
 * base/restore_order.c: rows of a dump that come before the rows that they refer to.
 *
 * Ordinary tables get their foreign keys after their rows, but the tables of an extension already
 * have them. pg_dump puts its entries in the right order; but in an archive the rows of a table
 * depend on nothing except their table, and pg_restore -j takes the largest entries first. So
 * COPY must be able to fill a table before the table that it refers to.
 *
 * Then the keys of the table are marked NOT VALID, as ALTER TABLE would, and are not checked for
 * these rows. When the other table has been filled, they are checked as a whole and are valid
 * again; at once, when there were no rows. Whatever happens in between: a key that is valid is one
 * that holds.
 *
 * Only a table that has never had a row is waited for. In all other cases the keys are checked row
 * by row, as in any session.
 */
#include "extension/base/compat.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "tcop/pquery.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "extension/base/restore.h"
#include "extension/base/trigger_check.h"

PG_FUNCTION_INFO_V1(ctms__restore_references);
PG_FUNCTION_INFO_V1(ctms__restored_references);

static bool
is_dump_copied(void)
{
    return ActivePortal && ActivePortal->commandTag == CMDTAG_COPY && restore_is_running() &&
           superuser();
}

static const TriggerUse before_use = {"ctms._restore_references",
                                      "BEFORE INSERT for each statement",
                                      {{TRIGGER_EVENT_BEFORE, TRIGGER_ON(INSERT)}}};
static const TriggerUse after_use = {
    "ctms._restored_references", "AFTER INSERT for each statement", {{0, TRIGGER_ON(INSERT)}}};

/* ---- before the rows ----------------------------------------------------------- */

static bool
has_visible_row(Relation relation)
{
    Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
    TupleTableSlot *slot = table_slot_create(relation, NULL);
    TableScanDesc scan = table_beginscan(relation, snapshot, 0, NULL);
    bool has_row = table_scan_getnextslot(scan, ForwardScanDirection, slot);

    table_endscan(scan);
    ExecDropSingleTupleTableSlot(slot);
    UnregisterSnapshot(snapshot);
    return has_row;
}

/*
 * Whether the table has never had a row (or has none since TRUNCATE or VACUUM gave its space
 * back). Waits for a session that is filling it. If it is empty, it stays so until this
 * transaction ends: a session that fills it afterwards sees the rows of this one.
 */
static bool
is_awaited(Oid table)
{
    Relation relation = table_open(table, AccessShareLock);
    bool is_empty = false;

    if (relation->rd_rel->relkind == RELKIND_RELATION && !has_visible_row(relation)) {
        LockRelation(relation, ShareLock);
        is_empty = RelationGetNumberOfBlocks(relation) == 0;
        if (!is_empty)
            UnlockRelation(relation, ShareLock);
    }
    table_close(relation, AccessShareLock);
    return is_empty;
}

/* What ALTER TABLE … VALIDATE CONSTRAINT writes, or the other way round. */
static void
set_valid(Relation table, Oid constraint, bool is_valid)
{
    Relation catalog = table_open(ConstraintRelationId, RowExclusiveLock);
    HeapTuple row = SearchSysCacheCopy1(CONSTROID, ObjectIdGetDatum(constraint));

    if (!HeapTupleIsValid(row))
        elog(ERROR, "cache lookup failed for constraint %u", constraint);
    ((Form_pg_constraint)GETSTRUCT(row))->convalidated = is_valid;
    /* Also if it was so before: then sessions that do this at the same time fail, all but one. */
    CatalogTupleUpdate(catalog, &row->t_self, row);
    CacheInvalidateRelcache(table);
    heap_freetuple(row);
    table_close(catalog, RowExclusiveLock);
}

static void
set_keys_valid(Relation table, bool is_valid)
{
    List *keys = copyObject(RelationGetFKeyList(table));
    ListCell *cell;

    foreach (cell, keys)
        set_valid(table, lfirst_node(ForeignKeyCacheInfo, cell)->conoid, is_valid);
}

/* Tables whose keys this transaction has marked; in its memory. */
static List *marked_tables = NIL;

/*
 * A table that got no rows waits for none: the table that it refers to may have been restored
 * already, without rows too. The statement itself cannot know that it is without rows.
 */
static void
unmark_empty_tables(void)
{
    ListCell *cell;

    PushActiveSnapshot(GetTransactionSnapshot());
    foreach (cell, marked_tables) {
        Relation table = try_relation_open(lfirst_oid(cell), RowExclusiveLock);

        if (table == NULL)
            continue;
        if (RelationGetNumberOfBlocks(table) == 0)
            set_keys_valid(table, true);
        relation_close(table, NoLock);
    }
    PopActiveSnapshot();
}

static void
at_transaction_end(XactEvent event, void *arg)
{
    if ((event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE) && marked_tables != NIL)
        unmark_empty_tables();
    else if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE || event == XACT_EVENT_ABORT)
        marked_tables = NIL;
}

static void
mark_keys(Relation table)
{
    static bool is_registered = false;
    MemoryContext caller = MemoryContextSwitchTo(TopTransactionContext);

    if (!is_registered)
        RegisterXactCallback(at_transaction_end, NULL);
    is_registered = true;
    marked_tables = list_append_unique_oid(marked_tables, RelationGetRelid(table));
    MemoryContextSwitchTo(caller);
    set_keys_valid(table, false);
}

static bool is_role_changed = false;

static void
end_statement(void *arg)
{
    if (is_role_changed)
        SessionReplicationRole = SESSION_REPLICATION_ROLE_ORIGIN;
    is_role_changed = false;
}

/* No foreign key of the statement is checked. The trigger's own context lives as long as it. */
static void
leave_keys_unchecked(MemoryContext statement)
{
    MemoryContextCallback *callback = MemoryContextAllocZero(statement, sizeof(*callback));

    callback->func = end_statement;
    MemoryContextRegisterResetCallback(statement, callback);
    SessionReplicationRole = SESSION_REPLICATION_ROLE_REPLICA;
    is_role_changed = true;
}

/* ctms._restore_references() → trigger, BEFORE INSERT FOR EACH STATEMENT on tables with keys */
Datum
ctms__restore_references(PG_FUNCTION_ARGS)
{
    TriggerData *trigger = (TriggerData *)fcinfo->context;
    List *keys;
    bool is_any_awaited = false;
    ListCell *cell;

    (void)trigger_check(fcinfo, &before_use, sizeof(TriggerState));
    if (!is_dump_copied() || SessionReplicationRole != SESSION_REPLICATION_ROLE_ORIGIN)
        return PointerGetDatum(NULL);
    keys = copyObject(RelationGetFKeyList(trigger->tg_relation));
    foreach (cell, keys)
        is_any_awaited |= is_awaited(lfirst_node(ForeignKeyCacheInfo, cell)->confrelid);
    if (!is_any_awaited)
        return PointerGetDatum(NULL);
    mark_keys(trigger->tg_relation);
    leave_keys_unchecked(fcinfo->flinfo->fn_mcxt);
    return PointerGetDatum(NULL);
}

/* ---- after the rows that others refer to ------------------------------------------ */

/* ctms._restored_references() → trigger, AFTER INSERT FOR EACH STATEMENT on tables referred to */
Datum
ctms__restored_references(PG_FUNCTION_ARGS)
{
    TriggerData *trigger = (TriggerData *)fcinfo->context;
    Oid types[] = {REGCLASSOID};
    Datum values[1];

    (void)trigger_check(fcinfo, &after_use, sizeof(TriggerState));
    values[0] = ObjectIdGetDatum(RelationGetRelid(trigger->tg_relation));
    if (!is_dump_copied())
        return PointerGetDatum(NULL);
    SPI_connect();
    if (SPI_execute_with_args("SELECT ctms._validate_references($1)", lengthof(types), types,
                              values, NULL, false, 0) != SPI_OK_SELECT)
        elog(ERROR, "could not check the foreign keys of restored rows");
    SPI_finish();
    return PointerGetDatum(NULL);
}
