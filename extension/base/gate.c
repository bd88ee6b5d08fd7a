/*
 * base/gate.c: see gate.h. It opens tables and remembers whether they are fit, which
 * base/gate_look.c decides.
 *
 * The order is what makes it safe. First the table is locked; waiting for the lock takes in what
 * others have changed. Only then it counts what is remembered, because every change ends it; if
 * nothing is, the table is looked at under the lock. Only then the index is opened. While the
 * table is locked, nobody can drop an index that was in its list (REINDEX CONCURRENTLY waits for
 * us), except on a replica, which replays what the primary did without us.
 *
 * A change that arrives later, and needs no lock that conflicts with ours, counts as one that
 * came after the call, as in a statement that has started. It only ends what is remembered.
 */
#include "extension/base/gate.h"

#include "extension/base/gate_look.h"
#include "extension/base/settings.h"

#include "access/relation.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

/* How often the table is looked up again when its name has passed to another one meanwhile. */
#define MAX_LOOKS 10

static bool is_allowed = true;

/* ---- what is remembered, and when it ends ------------------------------------------ */

static GateTable *watched_tables = NULL;

static void
forget_all(Datum arg, int cache, uint32 hash)
{
    for (GateTable *table = watched_tables; table != NULL; table = table->next)
        table->knowledge = GATE_UNKNOWN;
}

static bool
is_about(const GateTable *table, Oid relation)
{
    return !OidIsValid(relation) || relation == table->answer.relation ||
           relation == table->answer.index;
}

static void
forget_relation(Datum arg, Oid relation)
{
    for (GateTable *table = watched_tables; table != NULL; table = table->next)
        if (table->knowledge == GATE_LOOKING || is_about(table, relation))
            table->knowledge = GATE_UNKNOWN;
}

static void
watch(GateTable *table)
{
    /* Names of tables (ours, their children, that of Citus) and of schemas; rights of users. */
    static const int caches[] = {RELNAMENSP, NAMESPACENAME, AUTHOID, AUTHMEMROLEMEM, DATABASEOID};

    if (table->is_watched)
        return;
    if (watched_tables == NULL) {
        for (size_t i = 0; i < lengthof(caches); i++)
            CacheRegisterSyscacheCallback(caches[i], forget_all, (Datum)0);
        CacheRegisterRelcacheCallback(forget_relation, (Datum)0);
    }
    table->next = watched_tables;
    watched_tables = table;
    table->is_watched = true;
}

static bool
is_known(const GateTable *table)
{
    return table->knowledge == GATE_KNOWN && table->answer.user == GetUserId();
}

/* ---- looking ------------------------------------------------------------------------- */

static Oid
find_relation(const char *name)
{
    Oid schema = get_namespace_oid("ctms", true);

    return OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;
}

/*
 * Looks at the locked table. What it finds is right for this call; it is only remembered if
 * nothing has changed since "knowledge" was set, and if no error ended the look.
 */
static void
look(GateTable *table, Relation relation)
{
    table->answer = gate_look(table, relation);
    if (table->knowledge == GATE_LOOKING)
        table->knowledge = GATE_KNOWN;
}

static Relation
open_and_look(GateTable *table, LOCKMODE lock)
{
    watch(table);
    for (int i = 0; i < MAX_LOOKS; i++) {
        Oid oid = find_relation(table->name);
        Relation relation;

        if (!OidIsValid(oid))
            return NULL;
        relation = try_relation_open(oid, lock);
        if (relation == NULL)
            continue;
        table->knowledge = GATE_LOOKING;
        if (find_relation(table->name) == oid) {
            look(table, relation);
            return relation;
        }
        relation_close(relation, lock);
    }
    return NULL;
}

/* ---- opening --------------------------------------------------------------------------- */

/* NULL when the table has changed since it was looked at. */
static Relation
open_known(GateTable *table, LOCKMODE lock)
{
    Oid oid = table->answer.relation;

    LockRelationOid(oid, lock);
    if (is_known(table))
        return relation_open(oid, NoLock); /* the end of the table would have been heard of */
    UnlockRelationOid(oid, lock);
    return NULL;
}

static Relation
open_table(GateTable *table, LOCKMODE lock)
{
    Relation relation = NULL;

    if (is_known(table) && !table->answer.is_fit)
        return NULL;
    if (is_known(table))
        relation = open_known(table, lock);
    if (relation == NULL)
        relation = open_and_look(table, lock);
    if (relation == NULL || table->answer.is_fit)
        return relation;
    relation_close(relation, lock);
    return NULL;
}

/* NULL when there is none, or none that can be used now. */
static Relation
open_index(GateTable *table, LOCKMODE lock)
{
    Oid oid = table->answer.index;
    Relation index;

    if (!OidIsValid(oid))
        return NULL;
    LockRelationOid(oid, lock);
    if (!is_known(table) && !SearchSysCacheExists1(RELOID, ObjectIdGetDatum(oid))) {
        UnlockRelationOid(oid, lock);
        return NULL;
    }
    index = relation_open(oid, NoLock);
    if (gate_index_is_usable(index))
        return index;
    relation_close(index, lock);
    return NULL;
}

/* An extension that is asked when the executor checks permissions must see every statement. */
static bool
is_open(void)
{
    return is_allowed && ExecutorCheckPerms_hook == NULL && settings_is_on(SETTING_DIRECT_ACCESS);
}

bool
gate_open(GateScan *scan, GateTable *table, LOCKMODE lock)
{
    memset(scan, 0, sizeof(*scan));
    if (!is_open())
        return false;
    scan->relation = open_table(table, lock);
    if (scan->relation == NULL)
        return false;
    scan->index = open_index(table, lock);
    if (scan->index == NULL) {
        relation_close(scan->relation, lock);
        scan->relation = NULL;
        return false;
    }
    memcpy(scan->columns, table->answer.columns, table->column_count * sizeof(AttrNumber));
    scan->found = table_slot_create(scan->relation, NULL);
    return true;
}

void
gate_close(GateScan *scan)
{
    if (scan->relation == NULL)
        return;
    if (scan->scan != NULL)
        index_endscan(scan->scan);
    ExecDropSingleTupleTableSlot(scan->found);
    relation_close(scan->index, NoLock);
    relation_close(scan->relation, NoLock);
    memset(scan, 0, sizeof(*scan));
}

/* ---- searching --------------------------------------------------------------------------- */

void
gate_search(GateScan *scan, Snapshot snapshot, const pg_uuid_t *key)
{
    ScanKeyData equal;

    ScanKeyInit(&equal, 1, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(key));
    if (scan->scan == NULL)
        scan->scan = compat_index_beginscan(scan->relation, scan->index, snapshot, 1);
    scan->scan->xs_snapshot = snapshot;
    index_rescan(scan->scan, &equal, 1, NULL, 0);
}

bool
gate_next(GateScan *scan)
{
    return index_getnext_slot(scan->scan, ForwardScanDirection, scan->found);
}

bool
gate_find(GateScan *scan, Snapshot snapshot, const pg_uuid_t *key)
{
    gate_search(scan, snapshot, key);
    return gate_next(scan);
}

void
gate_release(GateScan *scan)
{
    ExecClearTuple(scan->found);
    if (scan->scan != NULL)
        index_rescan(scan->scan, NULL, 1, NULL, 0);
}

bool
gate_is_empty(Oid table)
{
    Relation relation = try_relation_open(table, AccessShareLock);
    bool is_empty;

    if (relation == NULL)
        return false;
    is_empty = relation->rd_rel->relkind == RELKIND_RELATION && !relation->rd_rel->relhassubclass &&
               RelationGetNumberOfBlocks(relation) == 0;
    relation_close(relation, AccessShareLock);
    return is_empty;
}

/* ---- the setting --------------------------------------------------------------------------- */

void
gate_init(void)
{
    DefineCustomBoolVariable(
        "ctms.direct_access",
        "Whether this session may read and write contacts and the queue below the executor.",
        "When it is off here, or in ctms.settings for everybody, everything is done by SQL, more "
        "slowly.",
        &is_allowed, true, PGC_SUSET, 0, NULL, NULL, NULL);
}
