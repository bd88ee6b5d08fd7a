/*
 * base/trigger_check.c: what every trigger function asks before it looks at a row. See
 * trigger_check.h.
 */
#include "extension/base/compat.h"

#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "extension/base/trigger_check.h"

#define MOMENT_MASK (TRIGGER_EVENT_ROW | TRIGGER_EVENT_TIMINGMASK)

static bool
is_fired_rightly(TriggerEvent event, const TriggerUse *use)
{
    for (Size i = 0; i < lengthof(use->moments); i++)
        if ((event & MOMENT_MASK) == use->moments[i].moment &&
            (use->moments[i].events & (1 << (event & TRIGGER_EVENT_OPMASK))))
            return true;
    return false;
}

static const char *
schema_of(const TriggerData *trigger)
{
    const char *schema = get_namespace_name(RelationGetNamespace(trigger->tg_relation));

    return schema ? schema : "";
}

/*
 * Partitions and the shards of a distributed table are tables in the same schema. A partitioned
 * table has no rows itself, but triggers of statements.
 */
static void
check_relation(const TriggerData *trigger, const TriggerUse *use)
{
    Relation relation = trigger->tg_relation;
    char kind = RelationGetForm(relation)->relkind;
    bool is_table = kind == RELKIND_RELATION || (kind == RELKIND_PARTITIONED_TABLE &&
                                                 !TRIGGER_FIRED_FOR_ROW(trigger->tg_event));

    if (is_table && RelationGetNamespace(relation) == get_namespace_oid("ctms", true))
        return;
    ereport(ERROR, errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
            errmsg("function \"%s\" cannot be a trigger of relation \"%s.%s\"", use->function,
                   schema_of(trigger), RelationGetRelationName(relation)),
            errdetail("It works on tables of extension \"%s\" only.", "ctms"));
}

void *
trigger_check(FunctionCallInfo fcinfo, const TriggerUse *use, Size state_size)
{
    const TriggerData *trigger = (TriggerData *)fcinfo->context;
    TriggerState *state = fcinfo->flinfo->fn_extra;
    bool is_deferrable;

    Assert(state_size >= sizeof(TriggerState));
    if (!CALLED_AS_TRIGGER(fcinfo) || !is_fired_rightly(trigger->tg_event, use))
        ereport(ERROR, errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                errmsg("function \"%s\" must be fired %s", use->function, use->when));
    if (state && state->use == use && state->relation == RelationGetRelid(trigger->tg_relation) &&
        state->trigger == trigger->tg_trigger->tgoid)
        return state;

    check_relation(trigger, use);
    /* fn_mcxt lives as long as the statement; of a deferred trigger, as long as whoever commits,
     * which can be a procedure that commits many times. */
    is_deferrable = trigger->tg_trigger->tgdeferrable;
    state = MemoryContextAllocZero(is_deferrable ? CurrentMemoryContext : fcinfo->flinfo->fn_mcxt,
                                   state_size);
    state->use = use;
    state->relation = RelationGetRelid(trigger->tg_relation);
    state->trigger = trigger->tg_trigger->tgoid;
    if (!is_deferrable)
        fcinfo->flinfo->fn_extra = state;
    return state;
}

static bool
has_type(Oid type, Oid wanted)
{
    return !OidIsValid(wanted) || type == wanted || (wanted == TEXTOID && type == VARCHAROID);
}

AttrNumber
trigger_check_column(const TriggerData *trigger, const TriggerUse *use, const char *name, Oid type)
{
    TupleDesc desc = RelationGetDescr(trigger->tg_relation);

    /* Triggers mostly ask for columns near the end of the table. */
    for (int i = desc->natts; i > 0; i--) {
        Form_pg_attribute att = TupleDescAttr(desc, i - 1);

        if (att->attisdropped || strcmp(NameStr(att->attname), name) != 0)
            continue;
        if (has_type(att->atttypid, type))
            return i;
        ereport(ERROR, errcode(ERRCODE_DATATYPE_MISMATCH),
                errmsg("column \"%s\" of table \"%s.%s\" has type %s, but function \"%s\" needs %s",
                       name, schema_of(trigger), RelationGetRelationName(trigger->tg_relation),
                       format_type_be(att->atttypid), use->function, format_type_be(type)));
    }
    ereport(ERROR, errcode(ERRCODE_UNDEFINED_COLUMN),
            errmsg("table \"%s.%s\" has no column \"%s\", which function \"%s\" needs",
                   schema_of(trigger), RelationGetRelationName(trigger->tg_relation), name,
                   use->function));
}
