/*
 * base/gate_write.c: see gate_write.h. Decides whether rows of a table may be written below the
 * executor, by looking at everything that the executor would do for an INSERT or UPDATE.
 */
#include "extension/base/gate_write.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/pg_index.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

/* ---- columns ------------------------------------------------------------------- */

static bool
fits_column(Form_pg_attribute att, const GateColumn *column)
{
    return strcmp(NameStr(att->attname), column->name) == 0 && att->atttypid == column->type &&
           att->atttypmod == -1 && att->attnotnull == column->is_not_null &&
           att->attgenerated == '\0' && att->attidentity == '\0';
}

/* Columns that were dropped do not matter; others than ours may have defaults and constraints. */
static bool
has_our_columns(Relation relation, const GateTable *table)
{
    TupleDesc desc = RelationGetDescr(relation);
    int found = 0;

    for (int i = 0; i < desc->natts; i++) {
        Form_pg_attribute att = TupleDescAttr(desc, i);

        if (att->attisdropped)
            continue;
        if (found == table->column_count || !fits_column(att, &table->columns[found]))
            return false;
        found++;
    }
    return !desc->constr || desc->constr->num_check == 0;
}

/* ---- triggers and foreign keys ----------------------------------------------------- */

/*
 * PostgreSQL's own triggers are those of foreign keys, which are looked at by themselves. Another
 * function of ours only acts on COPY.
 */
static bool
has_our_triggers(Relation relation, const GateWrittenTable *written)
{
    Oid ours = gate_our_function(written->trigger);
    Oid for_copy = gate_our_function("_restore_references");
    TriggerDesc *triggers = relation->trigdesc; /* valid as long as no catalog is read */
    int found = 0;

    for (int i = 0; triggers && i < triggers->numtriggers; i++) {
        const Trigger *trigger = &triggers->triggers[i];

        if (trigger->tgisinternal || trigger->tgfoid == for_copy)
            continue;
        if (trigger->tgfoid != ours ||
            trigger->tgtype != (TRIGGER_TYPE_ROW | TRIGGER_TYPE_BEFORE | TRIGGER_TYPE_UPDATE) ||
            trigger->tgenabled != TRIGGER_FIRES_ON_ORIGIN || trigger->tgnargs > 0 ||
            trigger->tgnattr > 0 || trigger->tgqual)
            return false;
        found++;
    }
    return found == 1;
}

static bool
refers_to_parent_only(Relation relation, const GateWrittenTable *written)
{
    const char *key_name = written->table->columns[written->table->key].name;
    Oid parent = get_relname_relid(written->parent, RelationGetNamespace(relation));
    const List *keys = copyObject(RelationGetFKeyList(relation)); /* catalogs are read meanwhile */
    ListCell *cell;

    foreach (cell, keys) {
        const ForeignKeyCacheInfo *key = lfirst(cell);

        if (key->confrelid != parent || key->nkeys != 1 ||
            key->conkey[0] != get_attnum(RelationGetRelid(relation), key_name) ||
            key->confkey[0] != get_attnum(parent, key_name))
            return false;
    }
    return true;
}

/* ---- indexes -------------------------------------------------------------------------- */

static bool
is_on_key_alone(Form_pg_index form, AttrNumber key)
{
    return form->indnkeyatts == 1 && form->indkey.values[0] == key;
}

/*
 * The functions of an index are the business of whoever made it, and a constraint that is checked
 * later, or by exclusion, needs more than an index entry.
 */
static bool
is_plain_index(Relation index, AttrNumber key)
{
    Form_pg_index form = index->rd_index;

    return form->indimmediate && !form->indisexclusion &&
           (!form->indisunique || is_on_key_alone(form, key)) &&
           heap_attisnull(index->rd_indextuple, Anum_pg_index_indexprs, NULL) &&
           heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL);
}

static bool
has_plain_indexes(Relation relation, const GateWrittenTable *written)
{
    AttrNumber key =
        get_attnum(RelationGetRelid(relation), written->table->columns[written->table->key].name);
    List *indexes = RelationGetIndexList(relation);
    bool are_plain = true;
    ListCell *cell;

    foreach (cell, indexes) {
        Relation index = try_relation_open(lfirst_oid(cell), AccessShareLock);

        if (!index)
            continue;
        are_plain = are_plain && is_plain_index(index, key);
        relation_close(index, AccessShareLock);
    }
    list_free(indexes);
    return are_plain;
}

/* ---- the whole ------------------------------------------------------------------------- */

bool
gate_write_fits(const GateWrittenTable *written, Relation relation)
{
    return has_our_columns(relation, written->table) && has_our_triggers(relation, written) &&
           refers_to_parent_only(relation, written) && has_plain_indexes(relation, written);
}

void
gate_write_open(GateWriter *writer, const GateScan *scan)
{
    writer->estate = CreateExecutorState();
    writer->target = makeNode(ResultRelInfo);
    InitResultRelInfo(writer->target, scan->relation, 1, NULL, 0);
    ExecOpenIndices(writer->target, false);
}

void
gate_write_close(GateWriter *writer)
{
    if (!writer->target)
        return;
    ExecCloseIndices(writer->target);
    FreeExecutorState(writer->estate);
    memset(writer, 0, sizeof(*writer));
}
