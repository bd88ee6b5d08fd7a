/*
 * queue/trigger.c: the row trigger that notes which contact a change concerns.
 *
 * It is an AFTER trigger for INSERT and DELETE, on every table whose content goes to Acoustic,
 * because only then is it certain what the statement did. An UPDATE is noted BEFORE it is done.
 * Its row is locked already, so only a later trigger could still prevent it, and PostgreSQL does
 * not have to fetch both versions of the row again. An UPDATE that changes nothing notes nothing.
 * The queue itself is written when the transaction commits (queue/flush.c).
 */
#include "extension/base/compat.h"

#include "access/htup_details.h"
#include "access/tableam.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "utils/datum.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "extension/base/restore.h"
#include "extension/base/row_change.h"
#include "extension/queue/feed.h"
#include "extension/queue/flush.h"

PG_FUNCTION_INFO_V1(ctms__enqueue);

/* The meaning of a trigger's arguments, worked out once per statement. */
typedef struct TriggerPlan {
    FeedKind kind;
    AttrNumber key;
    Bitmapset *ignored;
    bool is_last; /* no other trigger can change the row after this one */
} TriggerPlan;

static FeedKind
kind_of(const char *name)
{
    for (int kind = 0; kind < FEED_KINDS; kind++)
        if (strcmp(feed_kind_name(kind), name) == 0)
            return kind;
    elog(ERROR, "unknown kind of key \"%s\" in a trigger of the queue", name);
}

/*
 * Whether no other BEFORE UPDATE row trigger fires after this one. Triggers fire in the order in
 * which the table lists them.
 */
static bool
is_last_before_update(const TriggerDesc *triggers, Oid oid)
{
    bool is_behind = false;

    for (int i = 0; i < triggers->numtriggers; i++) {
        const Trigger *other = &triggers->triggers[i];

        if (is_behind && other->tgenabled != TRIGGER_DISABLED &&
            TRIGGER_TYPE_MATCHES(other->tgtype, TRIGGER_TYPE_ROW, TRIGGER_TYPE_BEFORE,
                                 TRIGGER_TYPE_UPDATE))
            return false;
        is_behind |= other->tgoid == oid;
    }
    return true;
}

static TriggerPlan *
get_plan(FunctionCallInfo fcinfo, const TriggerData *trigger)
{
    TriggerPlan *plan = fcinfo->flinfo->fn_extra;
    TupleDesc desc = RelationGetDescr(trigger->tg_relation);
    char **args = trigger->tg_trigger->tgargs;
    MemoryContext caller;

    if (plan)
        return plan;
    if (trigger->tg_trigger->tgnargs < 2)
        elog(ERROR, "a trigger of the queue needs a kind of key and its column");
    caller = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
    plan = palloc0(sizeof(*plan));
    plan->kind = kind_of(args[0]);
    plan->key = row_column_number(desc, args[1]);
    for (int i = 2; i < trigger->tg_trigger->tgnargs; i++)
        plan->ignored = bms_add_member(plan->ignored, row_column_number(desc, args[i]));
    plan->is_last =
        is_last_before_update(trigger->tg_relation->trigdesc, trigger->tg_trigger->tgoid);
    MemoryContextSwitchTo(caller);
    fcinfo->flinfo->fn_extra = plan;
    return plan;
}

static bool
is_fired_rightly(TriggerEvent event)
{
    if (TRIGGER_FIRED_BY_TRUNCATE(event))
        return TRIGGER_FIRED_BEFORE(event);
    return TRIGGER_FIRED_FOR_ROW(event) &&
           TRIGGER_FIRED_BEFORE(event) == TRIGGER_FIRED_BY_UPDATE(event);
}

static void
add_key(FeedKind kind, AttrNumber column, HeapTuple row, TupleDesc desc)
{
    bool is_null;
    Datum key = heap_getattr(row, column, desc, &is_null);

    if (!is_null)
        feed_add(kind, key);
}

static bool
is_key_equal(AttrNumber column, HeapTuple a, HeapTuple b, TupleDesc desc)
{
    Form_pg_attribute att = TupleDescAttr(desc, column - 1);
    bool is_a_null, is_b_null;
    Datum a_key = heap_getattr(a, column, desc, &is_a_null);
    Datum b_key = heap_getattr(b, column, desc, &is_b_null);

    if (is_a_null || is_b_null)
        return is_a_null == is_b_null;
    return datum_image_eq(a_key, b_key, att->attbyval, att->attlen);
}

/*
 * TRUNCATE fires no row triggers, so this notes the contact of every row that is about to be
 * removed.
 */
static void
add_all_keys(const TriggerPlan *plan, Relation table)
{
    Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
    TableScanDesc scan = table_beginscan(table, snapshot, 0, NULL);
    TupleTableSlot *slot = table_slot_create(table, NULL);

    while (table_scan_getnextslot(scan, ForwardScanDirection, slot)) {
        bool is_null;
        Datum key = slot_getattr(slot, plan->key, &is_null);

        CHECK_FOR_INTERRUPTS();
        if (!is_null)
            feed_add(plan->kind, key);
    }
    ExecDropSingleTupleTableSlot(slot);
    table_endscan(scan);
    UnregisterSnapshot(snapshot);
}

/*
 * A row that a later trigger may still change counts as changed: it is better to send one contact
 * for nothing than to lose a change.
 */
static void
add_updated(const TriggerPlan *plan, const TriggerData *trigger)
{
    TupleDesc desc = RelationGetDescr(trigger->tg_relation);
    HeapTuple old_row = trigger->tg_trigtuple;
    HeapTuple new_row = trigger->tg_newtuple;

    if (plan->is_last && !row_has_changed(old_row, new_row, desc, plan->ignored))
        return;
    add_key(plan->kind, plan->key, new_row, desc);
    /* A row that moves from one contact to another concerns both contacts. */
    if (!is_key_equal(plan->key, old_row, new_row, desc))
        add_key(plan->kind, plan->key, old_row, desc);
}

/*
 * ctms._enqueue(kind, key column, ignored column, ...) → trigger, BEFORE UPDATE or AFTER INSERT
 * or DELETE, FOR EACH ROW, or BEFORE TRUNCATE FOR EACH STATEMENT
 */
Datum
ctms__enqueue(PG_FUNCTION_ARGS)
{
    TriggerData *trigger = (TriggerData *)fcinfo->context;
    bool is_update;
    TriggerPlan *plan;

    if (!CALLED_AS_TRIGGER(fcinfo) || !is_fired_rightly(trigger->tg_event))
        ereport(ERROR, errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                errmsg("function \"%s\" must be fired BEFORE UPDATE or AFTER INSERT or DELETE, for "
                       "each row, or BEFORE TRUNCATE",
                       "ctms._enqueue"));
    is_update = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);
    if (!feed_is_enabled || restore_is_running())
        return PointerGetDatum(is_update ? trigger->tg_newtuple : NULL);

    plan = get_plan(fcinfo, trigger);
    if (is_update)
        add_updated(plan, trigger);
    else if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
        add_all_keys(plan, trigger->tg_relation);
    else
        add_key(plan->kind, plan->key, trigger->tg_trigtuple,
                RelationGetDescr(trigger->tg_relation));
    queue_flush_schedule();
    return PointerGetDatum(is_update ? trigger->tg_newtuple : NULL);
}
