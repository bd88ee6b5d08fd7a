/*
 * base/settings.c: what a session knows of ctms.settings; see settings.h.
 *
 * The values are kept until the table changes (base/watched_table.h). What is read is what the
 * latest commit has left, and what this transaction has changed.
 *
 * The table is scanned without SQL: whoever watches the executor sees what was asked for and no
 * more, and no rule, policy or right of a user changes what is found. Its columns may have any
 * type: values are read as text.
 */
#include "extension/base/compat.h"

#include "access/relation.h"
#include "access/tableam.h"
#include "catalog/pg_class.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "extension/base/latest_snapshot.h"
#include "extension/base/settings.h"
#include "extension/base/settings_rules.h"
#include "extension/base/watched_table.h"

static int64 values[SETTING_COUNT];
/* The generation of the table that they come from; 0: none so far. */
static uint64 known_generation = 0;
static WatchedTable watched = {.name = "settings"};

void
settings_init(void)
{
    watched_table_add(&watched);
}

/* ---- reading --------------------------------------------------------------------------- */

typedef struct SettingsScan {
    Relation table;
    AttrNumber name;
    AttrNumber value;
    int64 *found;
    bool is_telling; /* of rows that cannot be used */
} SettingsScan;

static char *
column_text(TupleTableSlot *slot, AttrNumber column)
{
    bool is_null;
    Datum value = slot_getattr(slot, column, &is_null);
    Oid output;
    bool is_varlena;

    if (is_null)
        return "";
    getTypeOutputInfo(TupleDescAttr(slot->tts_tupleDescriptor, column - 1)->atttypid, &output,
                      &is_varlena);
    return OidOutputFunctionCall(output, value);
}

/* A row that this version cannot use comes from a dump of a newer one. */
static void
take_row(const SettingsScan *scan, TupleTableSlot *slot)
{
    const char *name = column_text(slot, scan->name);
    int place = settings_rules_find(name);
    int64 value;

    if (place < 0 && scan->is_telling)
        ereport(WARNING, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                errmsg("there is no setting \"%s\" in this version: it is ignored", name));
    if (place < 0)
        return;
    if (settings_rules_read(&settings_rules[place], column_text(slot, scan->value), &value))
        scan->found[place] = value;
    else if (scan->is_telling)
        ereport(WARNING, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                errmsg("the value of setting \"%s\" is none of this version: it is ignored", name));
}

static void
take_rows(const SettingsScan *scan)
{
    Snapshot snapshot = latest_snapshot_register(RelationGetRelid(scan->table));
    TableScanDesc rows = table_beginscan(scan->table, snapshot, 0, NULL);
    TupleTableSlot *slot = table_slot_create(scan->table, NULL);

    while (table_scan_getnextslot(rows, ForwardScanDirection, slot)) {
        CHECK_FOR_INTERRUPTS();
        take_row(scan, slot);
    }
    ExecDropSingleTupleTableSlot(slot);
    table_endscan(rows);
    UnregisterSnapshot(snapshot);
}

static void
warn_of_table(void)
{
    ereport(
        WARNING, errcode(ERRCODE_UNDEFINED_TABLE),
        errmsg("table \"%s\" could not be read", "ctms.settings"),
        errdetail("All settings of ctms have their defaults."),
        errhint("The table belongs to the extension, with its columns \"name\" and \"value\"."));
}

static void
read_table(Relation table, int64 *found, bool is_telling)
{
    SettingsScan scan = {.table = table, .found = found, .is_telling = is_telling};

    if (table != NULL && table->rd_rel->relkind == RELKIND_RELATION) {
        scan.name = get_attnum(RelationGetRelid(table), "name");
        scan.value = get_attnum(RelationGetRelid(table), "value");
    }
    if (scan.name > 0 && scan.value > 0)
        take_rows(&scan);
    else
        warn_of_table();
}

/*
 * Whether the table could be locked. Who knows values keeps them while somebody has locked the
 * table: a transaction that waits here could be part of a deadlock.
 */
static bool
lock_table(void)
{
    if (ConditionalLockRelationOid(watched.oid, AccessShareLock))
        return true;
    if (known_generation > 0)
        return false;
    LockRelationOid(watched.oid, AccessShareLock);
    return true;
}

static void
read_all(bool is_telling)
{
    int64 found[SETTING_COUNT];
    /* A change that arrives meanwhile makes what is read out of date at once. */
    uint64 read_at = watched.generation;
    MemoryContext context;
    MemoryContext old;
    Relation table = NULL;

    if (OidIsValid(watched_table_find(&watched))) {
        if (!lock_table())
            return;
        table = try_relation_open(watched.oid, NoLock);
        if (table == NULL)
            UnlockRelationOid(watched.oid, AccessShareLock);
    }
    for (int i = 0; i < SETTING_COUNT; i++)
        found[i] = settings_rules[i].default_value;
    context = AllocSetContextCreate(CurrentMemoryContext, "ctms settings", ALLOCSET_SMALL_SIZES);
    old = MemoryContextSwitchTo(context);
    read_table(table, found, is_telling);
    MemoryContextSwitchTo(old);
    MemoryContextDelete(context);
    if (table != NULL)
        relation_close(table, AccessShareLock);
    memcpy(values, found, sizeof(values));
    known_generation = read_at;
}

/* ---- asking ---------------------------------------------------------------------------- */

static int64
current_value(Setting setting)
{
    AcceptInvalidationMessages();
    if (known_generation != watched.generation)
        read_all(false);
    return values[setting];
}

bool
settings_is_on(Setting setting)
{
    Assert(settings_rules[setting].type == SETTING_SWITCH);
    return current_value(setting) != 0;
}

int64
settings_get_ms(Setting setting)
{
    Assert(settings_rules[setting].type == SETTING_DURATION);
    return current_value(setting);
}

int64
settings_get_number(Setting setting)
{
    Assert(settings_rules[setting].type == SETTING_NUMBER);
    return current_value(setting);
}

char *
settings_get_text(Setting setting)
{
    return settings_rules_write(&settings_rules[setting], current_value(setting));
}

void
settings_warn_of_ignored(void)
{
    AcceptInvalidationMessages();
    read_all(true);
}
