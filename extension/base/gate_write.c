/*
 * base/gate_write.c: see gate_write.h. Decides whether rows of a table may be written below the
 * executor, by looking at everything that the executor would do for an INSERT or UPDATE.
 *
 * The caller writes rows with the executor's own functions (ExecInsertIndexTuples and the like).
 */
#include "extension/base/compat.h"

#include "extension/base/gate_write.h"

#include "access/genam.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/* ---- columns ------------------------------------------------------------------- */

static bool
fits_column(Form_pg_attribute att, const GateWrittenColumn *column)
{
    return strcmp(NameStr(att->attname), column->name) == 0 && att->atttypid == column->type &&
           att->atttypmod == -1 && att->attnotnull == column->is_not_null &&
           att->attgenerated == '\0' && att->attidentity == '\0';
}

/* Columns that were dropped do not matter; others than ours may have defaults and constraints. */
static bool
has_our_columns(Relation relation, GateWrittenTable *table)
{
    TupleDesc desc = RelationGetDescr(relation);
    int found = 0;

    for (int i = 0; i < desc->natts; i++) {
        Form_pg_attribute att = TupleDescAttr(desc, i);

        if (att->attisdropped)
            continue;
        if (found == table->column_count || !fits_column(att, &table->columns[found]))
            return false;
        table->numbers[found++] = i + 1;
    }
    return found == table->column_count && (!desc->constr || desc->constr->num_check == 0);
}

/* ---- triggers and foreign keys ----------------------------------------------------- */

static bool
is_our_function(Oid function, const char *name)
{
    char *found = get_func_name(function);

    return found && strcmp(found, name) == 0 &&
           get_func_namespace(function) == get_namespace_oid("ctms", true);
}

/* PostgreSQL's own triggers are those of foreign keys, which are looked at by themselves. */
static bool
has_our_trigger(Relation relation, const GateWrittenTable *table)
{
    TriggerDesc *triggers = relation->trigdesc;
    int found = 0;

    for (int i = 0; triggers && i < triggers->numtriggers; i++) {
        const Trigger *trigger = &triggers->triggers[i];

        if (trigger->tgisinternal || is_our_function(trigger->tgfoid, "_restore_references"))
            continue;
        if (trigger->tgtype != (TRIGGER_TYPE_ROW | TRIGGER_TYPE_BEFORE | TRIGGER_TYPE_UPDATE) ||
            trigger->tgenabled != TRIGGER_FIRES_ON_ORIGIN || trigger->tgnargs > 0 ||
            trigger->tgnattr > 0 || trigger->tgqual ||
            !is_our_function(trigger->tgfoid, table->trigger))
            return false;
        found++;
    }
    return found == 1;
}

static bool
refers_to_parent_only(Relation relation, const GateWrittenTable *table, Oid parent)
{
    ListCell *cell;

    foreach (cell, RelationGetFKeyList(relation)) {
        const ForeignKeyCacheInfo *key = lfirst(cell);

        if (key->confrelid != parent || key->nkeys != 1 ||
            key->conkey[0] != table->numbers[table->key])
            return false;
    }
    return true;
}

/* ---- the table ------------------------------------------------------------------------ */

static bool
is_as_made(Relation relation, GateWrittenTable *table, Oid parent)
{
    Form_pg_class form = relation->rd_rel;

    return form->relkind == RELKIND_RELATION && form->relam == HEAP_TABLE_AM_OID &&
           !form->relhasrules && !form->relhassubclass && !form->relispartition &&
           has_our_columns(relation, table) && has_our_trigger(relation, table) &&
           refers_to_parent_only(relation, table, parent);
}

/* Any change of a definition ends what was found out, also one that arrives while we look. */
static uint64 change_count = 0;

static GateWrittenTable *watched = NULL;

static void
forget(Datum arg, Oid relation)
{
    change_count++;
    if (watched && (relation == watched->known || !OidIsValid(relation)))
        watched->known = InvalidOid;
}

static bool
is_known_as_made(Relation relation, GateWrittenTable *table, Oid parent)
{
    if (!watched) {
        CacheRegisterRelcacheCallback(forget, (Datum)0);
        watched = table;
    }
    while (table->known != RelationGetRelid(relation)) {
        uint64 before = change_count;

        if (!is_as_made(relation, table, parent))
            return false;
        if (change_count == before)
            table->known = RelationGetRelid(relation);
    }
    return true;
}

/* ---- indexes -------------------------------------------------------------------------- */

static bool
is_on_key_alone(const IndexInfo *info, AttrNumber key)
{
    return info->ii_NumIndexKeyAttrs == 1 && info->ii_IndexAttrNumbers[0] == key;
}

/*
 * The functions of an index are the business of whoever made it, and a constraint that is checked
 * later, or by exclusion, needs more than an index entry.
 */
static bool
is_plain_index(Relation index, const IndexInfo *info, AttrNumber key)
{
    return info->ii_Expressions == NIL && info->ii_Predicate == NIL && !info->ii_ExclusionOps &&
           index->rd_index->indimmediate && (!info->ii_Unique || is_on_key_alone(info, key));
}

/* What the planner asks of an index (get_relation_info() in plancat.c), but by B-tree only. */
bool
gate_can_search(Relation index)
{
    Form_pg_index form = index->rd_index;

    if (index->rd_rel->relam != BTREE_AM_OID || !form->indisvalid || !form->indisready ||
        !form->indislive)
        return false;
    return !form->indcheckxmin ||
           TransactionIdPrecedes(HeapTupleHeaderGetXmin(index->rd_indextuple->t_data),
                                 TransactionXmin);
}

/* Takes the list of indexes once: with the lock on the table, none of it can be dropped. */
static bool
open_indexes(GateWriter *writer, AttrNumber key)
{
    ResultRelInfo *target = writer->target;

    ExecOpenIndices(target, true);
    for (int i = 0; i < target->ri_NumIndices; i++) {
        Relation index = target->ri_IndexRelationDescs[i];
        const IndexInfo *info = target->ri_IndexRelationInfo[i];

        if (!is_plain_index(index, info, key))
            return false;
        if (!writer->key_index && info->ii_Unique && gate_can_search(index))
            writer->key_index = index;
    }
    return writer->key_index != NULL;
}

bool
gate_write_open(GateWriter *writer, GateWrittenTable *table, Oid oid, Oid parent)
{
    writer->relation = try_relation_open(oid, RowExclusiveLock);
    if (!writer->relation)
        return false;
    if (!is_known_as_made(writer->relation, table, parent)) {
        table_close(writer->relation, NoLock);
        writer->relation = NULL;
        return false;
    }
    writer->numbers = table->numbers;
    writer->estate = CreateExecutorState();
    writer->target = makeNode(ResultRelInfo);
    InitResultRelInfo(writer->target, writer->relation, 1, NULL, 0);
    if (open_indexes(writer, table->numbers[table->key]))
        return true;
    gate_write_close(writer);
    return false;
}

void
gate_write_close(GateWriter *writer)
{
    if (!writer->relation)
        return;
    ExecCloseIndices(writer->target);
    FreeExecutorState(writer->estate);
    table_close(writer->relation, NoLock);
    memset(writer, 0, sizeof(*writer));
}
