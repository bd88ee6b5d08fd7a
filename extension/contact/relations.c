/*
 * contact/relations.c: remembers the OIDs of the tables and indexes of contacts, until anything
 * about them changes.
 *
 * Like any table they may be altered, distributed or replaced. They may only be read below the
 * executor (contact/direct.c) if everything is as the extension created it. This file decides
 * that.
 */
#include "extension/base/compat.h"

#include "extension/base/keyed_table.h"
#include "extension/contact/relations.h"

#include "access/genam.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_collation_d.h"
#include "catalog/pg_namespace_d.h"
#include "catalog/pg_type_d.h"
#include "nodes/primnodes.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/syscache.h"

static ContactRelations known;
static bool are_known = false;
static bool are_plain = false; /* only valid when are_known */

/* ---- news ------------------------------------------------------------------------ */

static void
forget(Datum arg, int cache, uint32 hash)
{
    are_known = false;
}

static bool
is_ours(Oid relation)
{
    for (int group = 0; group < CONTACT_STORED_GROUPS; group++)
        if (relation == known.groups[group].table || relation == known.groups[group].index)
            return true;
    for (int id = 0; id < CONTACT_ID_COUNT; id++)
        if (relation == known.by_id[id])
            return true;
    return false;
}

static void
forget_relation(Datum arg, Oid relation)
{
    if (!OidIsValid(relation) || is_ours(relation))
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

/* ---- columns ----------------------------------------------------------------------- */

/* The number of the column with that name and type; 0 when there is none. */
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
has_type(TupleDesc desc, AttrNumber column, Oid type)
{
    return column != 0 && TupleDescAttr(desc, column - 1)->atttypid == type;
}

static bool
fits_field(TupleDesc desc, AttrNumber column, const ContactField *field)
{
    switch (field->kind) {
    case FIELD_BOOLEAN: return has_type(desc, column, BOOLOID);
    case FIELD_DATE: return has_type(desc, column, DATEOID);
    case FIELD_OBJECT: return has_type(desc, column, JSONBOID);
    case FIELD_TEXT:
    case FIELD_UUID:
    case FIELD_CHOICE:
    case FIELD_URL: return has_type(desc, column, VARCHAROID) || has_type(desc, column, TEXTOID);
    }
    pg_unreachable();
}

static bool
find_columns(TupleDesc desc, const ContactGroupSpec *spec, ContactRelation *relation)
{
    static const char *const timestamps[] = {"create_timestamp", "update_timestamp"};

    relation->email_id = find_column(desc, "email_id");
    if (!has_type(desc, relation->email_id, UUIDOID))
        return false;
    relation->wanted_count = 0;
    for (int i = 0; i < spec->field_count; i++) {
        AttrNumber column = find_column(desc, spec->fields[i].name);

        if (!fits_field(desc, column, &spec->fields[i]))
            return false;
        relation->wanted[relation->wanted_count++] = column;
    }
    for (size_t i = 0; i < lengthof(timestamps); i++) {
        AttrNumber column = find_column(desc, timestamps[i]);

        if (!has_type(desc, column, TIMESTAMPTZOID))
            return false;
        relation->wanted[relation->wanted_count++] = column;
    }
    return true;
}

/* ---- indexes ----------------------------------------------------------------------- */

/* What the first column of an index must be. */
typedef struct Key {
    AttrNumber column;
    bool is_lower; /* lower(column) */
    Oid type;
} Key;

static bool
is_lower_of(Node *expression, AttrNumber column)
{
    FuncExpr *call = (FuncExpr *)expression;
    Node *argument;

    if (!IsA(call, FuncExpr) || call->funcid != COMPAT_F_LOWER || list_length(call->args) != 1)
        return false;
    argument = linitial(call->args);
    if (IsA(argument, RelabelType))
        argument = (Node *)((RelabelType *)argument)->arg;
    return IsA(argument, Var) && ((Var *)argument)->varattno == column;
}

static bool
has_key(Relation index, const Key *key)
{
    if (index->rd_opcintype[0] != key->type ||
        (key->type == TEXTOID && index->rd_indcollation[0] != DEFAULT_COLLATION_OID))
        return false;
    if (!key->is_lower)
        return index->rd_index->indkey.values[0] == key->column;
    return index->rd_index->indkey.values[0] == 0 &&
           is_lower_of(linitial(RelationGetIndexExpressions(index)), key->column);
}

/*
 * A partial index that leaves out rows without a value is fine, because nobody searches for them
 * by it.
 */
static bool
has_all_values(Relation index, const Key *key)
{
    List *predicate = RelationGetIndexPredicate(index);
    NullTest *test;

    if (predicate == NIL)
        return true;
    test = linitial(predicate);
    return list_length(predicate) == 1 && IsA(test, NullTest) &&
           test->nulltesttype == IS_NOT_NULL && IsA(test->arg, Var) &&
           ((Var *)test->arg)->varattno == key->column;
}

/* An index that finds every row by the key; InvalidOid when there is none. */
static Oid
find_index(Relation relation, Key key)
{
    List *indexes = RelationGetIndexList(relation);
    Oid found = InvalidOid;
    ListCell *cell;

    foreach (cell, indexes) {
        Relation index = index_open(lfirst_oid(cell), AccessShareLock);
        Form_pg_index form = index->rd_index;

        if (index->rd_rel->relam == BTREE_AM_OID && form->indisvalid && form->indisready &&
            form->indislive && !form->indcheckxmin && has_key(index, &key) &&
            has_all_values(index, &key))
            found = lfirst_oid(cell);
        index_close(index, NoLock);
        if (OidIsValid(found))
            break;
    }
    list_free(indexes);
    return found;
}

static void
find_indexes_by_id(Relation relation, ContactGroup group)
{
    for (int id = 0; id < CONTACT_ID_COUNT; id++) {
        const ContactIdSpec *spec = &contact_ids[id];
        Key key = {.column = find_column(RelationGetDescr(relation), contact_id_column(id)),
                   .is_lower = spec->is_address,
                   .type = id == ID_EMAIL_ID ? UUIDOID : TEXTOID};

        if (spec->group == group)
            known.by_id[id] = key.column != 0 ? find_index(relation, key) : InvalidOid;
    }
}

/* ---- tables ------------------------------------------------------------------------- */

static bool
is_plain_table(Relation relation)
{
    Form_pg_class form = relation->rd_rel;

    return form->relkind == RELKIND_RELATION && form->relam == HEAP_TABLE_AM_OID &&
           !form->relhasrules && !form->relhassubclass && !form->relrowsecurity &&
           RelationGetDescr(relation)->natts <= CONTACT_MAX_COLUMNS;
}

static bool
look_at_table(ContactGroup group, Oid schema)
{
    ContactRelation *facts = &known.groups[group];
    Relation relation;

    facts->table = get_relname_relid(contact_groups[group].table, schema);
    facts->index = InvalidOid;
    if (!OidIsValid(facts->table))
        return false;
    relation = table_open(facts->table, AccessShareLock);
    if (is_plain_table(relation) &&
        find_columns(RelationGetDescr(relation), &contact_groups[group], facts)) {
        facts->index = find_index(relation, (Key){.column = facts->email_id, .type = UUIDOID});
        find_indexes_by_id(relation, group);
    }
    table_close(relation, NoLock);
    return OidIsValid(facts->index);
}

static void
look_at_tables(void)
{
    Oid schema;

    watch_catalogs();
    are_known = true; /* from here on, changes are noticed */
    schema = get_namespace_oid("ctms", true);
    /* Citus keeps the rows of its tables elsewhere. */
    are_plain = OidIsValid(schema) &&
                !OidIsValid(get_relname_relid("pg_dist_partition", PG_CATALOG_NAMESPACE));
    for (int group = 0; are_plain && group < CONTACT_STORED_GROUPS; group++)
        are_plain = look_at_table(group, schema);
}

const ContactRelations *
contact_relations(void)
{
    if (!keyed_table_is_allowed)
        return NULL;
    while (!are_known)
        look_at_tables();
    return are_plain ? &known : NULL;
}

bool
contact_relations_are_current(void)
{
    return are_known;
}
