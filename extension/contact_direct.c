/*
 * contact_direct.c: reads the rows of contacts below the executor.
 *
 * A contact is a handful of rows in six tables, each found by one descent into an index.
 * Starting the executor for them costs several times what the descents do, so here they are
 * made with tables and indexes at hand. Locks, snapshots and predicate locks are those
 * that a statement would take.
 *
 * contact_load.c has the statements that say the same in SQL, for all other cases. Both are
 * held to the same bytes by test/t/120_contact_paths.pl.
 */
#include "compat.h"

#include "contact_direct.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_namespace_d.h"
#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

/* Fields and the two timestamps. */
#define MAX_WANTED (CONTACT_MAX_FIELDS + 2)
#define MAX_COLUMNS 64

/* What the session remembers of a table, until anything about it changes. */
typedef struct KnownTable {
    Oid table;
    Oid index; /* its first column is email_id */
    AttrNumber columns[MAX_WANTED];
    int wanted_count;
} KnownTable;

static KnownTable known[CONTACT_STORED_GROUPS];
static bool are_known = false;
static bool are_plain = false; /* meaningful when known */

typedef struct OpenTable {
    Relation relation;
    Relation index;
    IndexScanDesc scan;
    TupleTableSlot *slot;
} OpenTable;

/* ---- what is known -------------------------------------------------------------- */

static void
forget(Datum arg, int cache, uint32 hash)
{
    are_known = false;
}

static void
forget_relation(Datum arg, Oid relation)
{
    bool is_ours = !OidIsValid(relation);

    for (int group = 0; group < CONTACT_STORED_GROUPS; group++)
        is_ours |= relation == known[group].table || relation == known[group].index;
    if (is_ours)
        are_known = false;
}

static void
watch_catalogs(void)
{
    static bool is_watching = false;

    if (is_watching)
        return;
    CacheRegisterSyscacheCallback(RELNAMENSP, forget, (Datum)0);
    CacheRegisterSyscacheCallback(NAMESPACENAME, forget, (Datum)0);
    CacheRegisterRelcacheCallback(forget_relation, (Datum)0);
    is_watching = true;
}

/* Column of a name and type, 0 when there is none such. */
static AttrNumber
find_column(TupleDesc desc, const char *name)
{
    for (int i = 0; i < desc->natts; i++) {
        Form_pg_attribute att = TupleDescAttr(desc, i);

        if (!att->attisdropped && strcmp(NameStr(att->attname), name) == 0)
            return i + 1;
    }
    return 0;
}

static bool
has_type(TupleDesc desc, AttrNumber column, Oid type, Oid other_type)
{
    Oid found;

    if (column == 0)
        return false;
    found = TupleDescAttr(desc, column - 1)->atttypid;
    return found == type || found == other_type;
}

static bool
find_columns(TupleDesc desc, const ContactGroupSpec *spec, KnownTable *table)
{
    static const Oid types[][2] = {
        [FIELD_TEXT] = {VARCHAROID, TEXTOID},   [FIELD_BOOLEAN] = {BOOLOID, BOOLOID},
        [FIELD_DATE] = {DATEOID, DATEOID},      [FIELD_UUID] = {VARCHAROID, TEXTOID},
        [FIELD_CHOICE] = {VARCHAROID, TEXTOID}, [FIELD_URL] = {VARCHAROID, TEXTOID},
        [FIELD_OBJECT] = {JSONBOID, JSONBOID}};
    static const char *const timestamps[] = {"create_timestamp", "update_timestamp"};

    table->wanted_count = 0;
    for (int i = 0; i < spec->field_count; i++) {
        const Oid *allowed = types[spec->fields[i].kind];
        AttrNumber column = find_column(desc, spec->fields[i].name);

        if (!has_type(desc, column, allowed[0], allowed[1]))
            return false;
        table->columns[table->wanted_count++] = column;
    }
    for (size_t i = 0; i < lengthof(timestamps); i++) {
        AttrNumber column = find_column(desc, timestamps[i]);

        if (!has_type(desc, column, TIMESTAMPTZOID, TIMESTAMPTZOID))
            return false;
        table->columns[table->wanted_count++] = column;
    }
    return true;
}

/* An index that finds every row by email_id, InvalidOid when there is none. */
static Oid
find_index(Relation relation)
{
    AttrNumber email_id = find_column(RelationGetDescr(relation), "email_id");
    List *indexes = RelationGetIndexList(relation);
    Oid found = InvalidOid;
    ListCell *cell;

    foreach (cell, indexes) {
        Relation index = index_open(lfirst_oid(cell), AccessShareLock);
        Form_pg_index form = index->rd_index;

        if (index->rd_rel->relam == BTREE_AM_OID && form->indisvalid && form->indisready &&
            form->indislive && !form->indcheckxmin && form->indkey.values[0] == email_id &&
            index->rd_opcintype[0] == UUIDOID && RelationGetIndexPredicate(index) == NIL)
            found = lfirst_oid(cell);
        index_close(index, NoLock);
        if (OidIsValid(found))
            break;
    }
    list_free(indexes);
    return email_id != 0 ? found : InvalidOid;
}

static bool
is_plain_table(Relation relation)
{
    Form_pg_class form = relation->rd_rel;

    return form->relkind == RELKIND_RELATION && form->relam == HEAP_TABLE_AM_OID &&
           !form->relhasrules && !form->relhassubclass && !form->relrowsecurity &&
           RelationGetDescr(relation)->natts <= MAX_COLUMNS;
}

static bool
look_at_table(ContactGroup group, Oid schema)
{
    KnownTable *table = &known[group];
    Relation relation;
    bool is_usable;

    table->table = get_relname_relid(contact_groups[group].table, schema);
    table->index = InvalidOid;
    if (!OidIsValid(table->table))
        return false;
    relation = table_open(table->table, AccessShareLock);
    is_usable = is_plain_table(relation) &&
                find_columns(RelationGetDescr(relation), &contact_groups[group], table);
    if (is_usable)
        table->index = find_index(relation);
    table_close(relation, NoLock);
    return OidIsValid(table->index);
}

static void
look_at_tables(void)
{
    Oid schema;

    watch_catalogs();
    are_known = true; /* what changes from here on is noticed */
    schema = get_namespace_oid("ctms", true);
    /* Citus keeps the rows of its tables elsewhere. */
    are_plain = OidIsValid(schema) &&
                !OidIsValid(get_relname_relid("pg_dist_partition", PG_CATALOG_NAMESPACE));
    for (int group = 0; are_plain && group < CONTACT_STORED_GROUPS; group++)
        are_plain = look_at_table(group, schema);
}

/* ---- opening and closing --------------------------------------------------------- */

static void
close_tables(OpenTable *tables, ContactGroup last)
{
    /* As after a statement, locks stay until the transaction ends. */
    for (int group = 0; group <= (int)last; group++) {
        index_close(tables[group].index, NoLock);
        table_close(tables[group].relation, NoLock);
    }
}

static bool
open_tables(OpenTable *tables, ContactGroup last)
{
    for (;;) {
        while (!are_known)
            look_at_tables();
        if (!are_plain)
            return false;
        for (int group = 0; group <= (int)last; group++) {
            tables[group].relation = table_open(known[group].table, AccessShareLock);
            tables[group].index = index_open(known[group].index, AccessShareLock);
        }
        /* Waiting for a lock may have brought news. */
        if (are_known)
            return true;
        close_tables(tables, last);
    }
}

/* ---- reading ----------------------------------------------------------------------- */

static void
read_row(const OpenTable *table, ContactGroup group, Contact *contact, ContactRowReader read)
{
    const KnownTable *facts = &known[group];
    HeapTuple row = ExecCopySlotHeapTuple(table->slot);
    Datum columns[MAX_COLUMNS], values[MAX_WANTED];
    bool are_null[MAX_COLUMNS], nulls[MAX_WANTED];

    heap_deform_tuple(row, RelationGetDescr(table->relation), columns, are_null);
    for (int i = 0; i < facts->wanted_count; i++) {
        values[i] = columns[facts->columns[i] - 1];
        nulls[i] = are_null[facts->columns[i] - 1];
    }
    read(contact, group, values, nulls);
}

static void
read_table(OpenTable *table, ContactGroup group, Contact **contacts, int count, Snapshot snapshot,
           ContactRowReader read)
{
    table->slot = table_slot_create(table->relation, NULL);
    table->scan = ctms_index_beginscan(table->relation, table->index, snapshot, 1);
    for (int i = 0; i < count; i++) {
        ScanKeyData key;

        CHECK_FOR_INTERRUPTS();
        /* No row of a contact that does not exist can be there. */
        if (group != GROUP_EMAIL && !contacts[i]->rows[GROUP_EMAIL].exists)
            continue;
        ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_UUID_EQ,
                    UUIDPGetDatum(&contacts[i]->email_id));
        index_rescan(table->scan, &key, 1, NULL, 0);
        while (index_getnext_slot(table->scan, ForwardScanDirection, table->slot))
            read_row(table, group, contacts[i], read);
    }
    index_endscan(table->scan);
    ExecDropSingleTupleTableSlot(table->slot);
}

bool
contact_direct_read(Contact **contacts, int count, ContactGroup last, Snapshot snapshot,
                    ContactRowReader read)
{
    OpenTable tables[CONTACT_STORED_GROUPS];

    if (!open_tables(tables, last))
        return false;
    for (int group = 0; group <= (int)last; group++)
        read_table(&tables[group], group, contacts, count, snapshot, read);
    close_tables(tables, last);
    return true;
}
