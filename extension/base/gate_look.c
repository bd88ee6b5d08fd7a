/*
 * base/gate_look.c: see gate_look.h.
 */
#include "extension/base/gate_look.h"

#include "access/relation.h"
#include "access/transam.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_class_d.h"
#include "catalog/pg_collation_d.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_namespace_d.h"
#include "catalog/pg_opfamily_d.h"
#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "nodes/primnodes.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/snapmgr.h"

/* uuid_ops of B-trees; the headers have no name for it. */
#define UUID_BTREE_FAM_OID 2968

/* ---- tables ------------------------------------------------------------------------ */

static bool
has_children(Relation relation)
{
    return relation->rd_rel->relhassubclass &&
           find_inheritance_children(RelationGetRelid(relation), NoLock) != NIL;
}

/*
 * An unlogged table is empty on a replica, where the planner refuses it. Row security that is
 * not enabled is not forced either. Two flags of pg_class stay set after the last rule or child
 * is gone, so it is looked for.
 */
static bool
is_plain_table(Relation relation)
{
    Form_pg_class form = relation->rd_rel;

    return form->relkind == RELKIND_RELATION && form->relam == HEAP_TABLE_AM_OID &&
           form->relpersistence == RELPERSISTENCE_PERMANENT && relation->rd_rules == NULL &&
           !form->relrowsecurity && !form->relispartition && !has_children(relation);
}

/* Citus keeps the rows of its tables elsewhere. */
static bool
is_citus_here(void)
{
    return OidIsValid(get_relname_relid("pg_dist_partition", PG_CATALOG_NAMESPACE));
}

static bool
has_rights(const GateTable *table, Relation relation, Oid user)
{
    if (table->rights == ACL_NO_RIGHTS)
        return true;
    return compat_schema_aclcheck(RelationGetNamespace(relation), user, ACL_USAGE) == ACLCHECK_OK &&
           pg_class_aclmask(RelationGetRelid(relation), user, table->rights, ACLMASK_ALL) ==
               table->rights;
}

/* ---- columns ------------------------------------------------------------------------ */

static bool
has_type(Form_pg_attribute column, Oid type)
{
    return column->atttypid == type || (type == TEXTOID && column->atttypid == VARCHAROID);
}

/* The number of the column; InvalidAttrNumber when there is none that holds its value itself. */
static AttrNumber
find_column(TupleDesc desc, const GateColumn *wanted)
{
    for (int i = 0; i < desc->natts; i++) {
        Form_pg_attribute column = TupleDescAttr(desc, i);

        if (!column->attisdropped && strcmp(NameStr(column->attname), wanted->name) == 0)
            return has_type(column, wanted->type) && column->attgenerated == '\0'
                       ? column->attnum
                       : InvalidAttrNumber;
    }
    return InvalidAttrNumber;
}

static bool
find_columns(const GateTable *table, TupleDesc desc, GateAnswer *answer)
{
    Assert(table->column_count <= GATE_MAX_COLUMNS && table->key_count <= GATE_MAX_KEYS);
    for (int i = 0; i < table->column_count; i++) {
        answer->columns[i] = find_column(desc, &table->columns[i]);
        if (answer->columns[i] == InvalidAttrNumber)
            return false;
    }
    return true;
}

/* ---- indexes ----------------------------------------------------------------------- */

/* What the first column of an index must be. */
typedef struct Key {
    AttrNumber column;
    Oid type; /* UUIDOID or TEXTOID */
    bool is_lower;
    bool is_unique;
} Key;

static bool
is_lower_of(Node *expression, AttrNumber column)
{
    FuncExpr *call = (FuncExpr *)expression;
    Node *argument;

    if (!IsA(call, FuncExpr) || call->funcid != COMPAT_F_LOWER ||
        call->inputcollid != DEFAULT_COLLATION_OID || list_length(call->args) != 1)
        return false;
    argument = linitial(call->args);
    if (IsA(argument, RelabelType))
        argument = (Node *)((RelabelType *)argument)->arg;
    return IsA(argument, Var) && ((Var *)argument)->varattno == column;
}

static bool
has_key(Relation index, const Key *key)
{
    Oid family = key->type == TEXTOID ? TEXT_BTREE_FAM_OID : UUID_BTREE_FAM_OID;

    if (index->rd_opfamily[0] != family || index->rd_opcintype[0] != key->type ||
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
    return !key->is_unique && list_length(predicate) == 1 && IsA(test, NullTest) &&
           test->nulltesttype == IS_NOT_NULL && IsA(test->arg, Var) &&
           ((Var *)test->arg)->varattno == key->column;
}

static bool
is_as_unique(Relation index, const Key *key)
{
    Form_pg_index form = index->rd_index;

    return !key->is_unique || (form->indisunique && form->indimmediate && form->indnkeyatts == 1);
}

static bool
is_fit_index(Relation index, const Key *key)
{
    Form_pg_index form = index->rd_index;

    return index->rd_rel->relkind == RELKIND_INDEX && index->rd_rel->relam == BTREE_AM_OID &&
           form->indisvalid && form->indisready && form->indislive && is_as_unique(index, key) &&
           has_key(index, key) && has_all_values(index, key);
}

/*
 * An index that finds every row by the key; InvalidOid when there is none. One that can be used
 * by every snapshot comes first.
 */
static Oid
find_index(List *indexes, const Key *key)
{
    Oid found = InvalidOid;
    ListCell *cell;

    foreach (cell, indexes) {
        Relation index = try_relation_open(lfirst_oid(cell), AccessShareLock);
        bool is_limited;

        if (index == NULL)
            continue;
        is_limited = index->rd_index != NULL && index->rd_index->indcheckxmin;
        if (is_fit_index(index, key) && (!is_limited || !OidIsValid(found)))
            found = lfirst_oid(cell);
        relation_close(index, AccessShareLock);
        if (OidIsValid(found) && !is_limited)
            break;
    }
    return found;
}

/* A text is searched for with the default collation, if the column has no other. */
static bool
is_searchable(TupleDesc desc, AttrNumber column, Oid type)
{
    return type == UUIDOID ||
           TupleDescAttr(desc, column - 1)->attcollation == DEFAULT_COLLATION_OID;
}

static void
find_indexes(const GateTable *table, Relation relation, GateAnswer *answer)
{
    List *indexes = RelationGetIndexList(relation);

    for (int i = 0; i < table->key_count; i++) {
        const GateKey *wanted = &table->keys[i];
        Key key = {.is_lower = wanted->is_lower, .is_unique = wanted->is_unique};

        if (wanted->column == GATE_NO_COLUMN)
            continue;
        key.column = answer->columns[wanted->column];
        key.type = table->columns[wanted->column].type;
        if (is_searchable(RelationGetDescr(relation), key.column, key.type))
            answer->indexes[i] = find_index(indexes, &key);
    }
    list_free(indexes);
}

/* ---- the whole --------------------------------------------------------------------- */

GateAnswer
gate_look(const GateTable *table, Relation relation)
{
    GateAnswer answer = {.relation = RelationGetRelid(relation), .user = GetUserId()};

    answer.is_fit = !is_citus_here() && is_plain_table(relation) &&
                    has_rights(table, relation, answer.user) &&
                    find_columns(table, RelationGetDescr(relation), &answer) &&
                    (table->also_fits == NULL || table->also_fits(relation));
    if (answer.is_fit)
        find_indexes(table, relation, &answer);
    return answer;
}

bool
gate_index_is_usable(Relation index)
{
    Form_pg_index form = index->rd_index;

    return form != NULL && index->rd_rel->relam == BTREE_AM_OID && form->indisvalid &&
           form->indisready && form->indislive &&
           (!form->indcheckxmin ||
            TransactionIdPrecedes(HeapTupleHeaderGetXmin(index->rd_indextuple->t_data),
                                  TransactionXmin));
}
