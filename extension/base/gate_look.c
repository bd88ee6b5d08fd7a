/*
 * base/gate_look.c: see gate_look.h.
 */
#include "extension/base/gate_look.h"

#include "access/relation.h"
#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_class_d.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_namespace_d.h"
#include "catalog/pg_proc_d.h"
#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

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
    Assert(table->column_count <= GATE_MAX_COLUMNS);
    for (int i = 0; i < table->column_count; i++) {
        answer->columns[i] = find_column(desc, &table->columns[i]);
        if (answer->columns[i] == InvalidAttrNumber)
            return false;
    }
    return true;
}

/* ---- indexes ----------------------------------------------------------------------- */

static bool
is_unique(Form_pg_index form)
{
    return form->indisunique && form->indimmediate && form->indnkeyatts == 1;
}

/* Whether the index finds every row by the key. */
static bool
is_fit_index(Relation index, const GateTable *table, AttrNumber key)
{
    Form_pg_index form = index->rd_index;

    return form != NULL && index->rd_rel->relkind == RELKIND_INDEX &&
           index->rd_rel->relam == BTREE_AM_OID && form->indisvalid && form->indisready &&
           form->indislive && form->indkey.values[0] == key &&
           index->rd_opfamily[0] == UUID_BTREE_FAM_OID && index->rd_opcintype[0] == UUIDOID &&
           RelationGetIndexPredicate(index) == NIL && (!table->is_key_unique || is_unique(form));
}

/* InvalidOid when there is none. One that can be used by every snapshot comes first. */
static Oid
find_index(const GateTable *table, Relation relation, AttrNumber key)
{
    List *indexes = RelationGetIndexList(relation);
    Oid found = InvalidOid;
    bool is_limited = true;
    ListCell *cell;

    foreach (cell, indexes) {
        Relation index = is_limited ? try_relation_open(lfirst_oid(cell), AccessShareLock) : NULL;

        if (index == NULL)
            continue;
        if (is_fit_index(index, table, key) &&
            (!OidIsValid(found) || !index->rd_index->indcheckxmin)) {
            found = lfirst_oid(cell);
            is_limited = index->rd_index->indcheckxmin;
        }
        relation_close(index, AccessShareLock);
    }
    list_free(indexes);
    return found;
}

Oid
gate_our_function(const char *name)
{
    return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, PointerGetDatum(name),
                           PointerGetDatum(buildoidvector(NULL, 0)),
                           ObjectIdGetDatum(get_namespace_oid("ctms", true)));
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
        answer.index = find_index(table, relation, answer.columns[table->key]);
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
