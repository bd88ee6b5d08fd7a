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
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "utils/datum.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "extension/base/restore.h"
#include "extension/base/row_change.h"
#include "extension/base/trigger_check.h"
#include "extension/queue/feed.h"
#include "extension/queue/flush.h"

PG_FUNCTION_INFO_V1(ctms__enqueue);

static const TriggerUse enqueue_use = {
    "ctms._enqueue",
    "BEFORE UPDATE or AFTER INSERT or DELETE, for each row, or BEFORE TRUNCATE",
    {{TRIGGER_EVENT_ROW | TRIGGER_EVENT_BEFORE, TRIGGER_ON(UPDATE)},
     {TRIGGER_EVENT_ROW, TRIGGER_ON(INSERT) | TRIGGER_ON(DELETE)},
     {TRIGGER_EVENT_BEFORE, TRIGGER_ON(TRUNCATE)}}};

/* The meaning of a trigger's arguments, worked out once per statement. */
typedef struct TriggerPlan {
    TriggerState state;
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
    ereport(ERROR, errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
            errmsg("function \"%s\" knows no kind of key \"%s\"", enqueue_use.function, name));
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

static void
fill_plan(TriggerPlan *plan, const TriggerData *trigger, MemoryContext context)
{
    const Trigger *self = trigger->tg_trigger;
    MemoryContext caller;

    if (self->tgnargs < 2)
        ereport(ERROR, errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                errmsg("function \"%s\" needs a kind of key and its column as arguments",
                       enqueue_use.function));
    plan->kind = kind_of(self->tgargs[0]);
    plan->key = trigger_check_column(trigger, &enqueue_use, self->tgargs[1],
                                     plan->kind < FEED_FIRST_STRIPE ? UUIDOID : TEXTOID);
    plan->ignored = NULL;
    caller = MemoryContextSwitchTo(context);
    for (int i = 2; i < self->tgnargs; i++)
        plan->ignored =
            bms_add_member(plan->ignored, trigger_check_column(trigger, &enqueue_use,
                                                               self->tgargs[i], InvalidOid));
    MemoryContextSwitchTo(caller);
    plan->is_last = is_last_before_update(trigger->tg_relation->trigdesc, self->tgoid);
    plan->state.is_ready = true;
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
    Snapshot snapshot;
    TableScanDesc scan;
    TupleTableSlot *slot;

    if (RelationGetForm(table)->relkind != RELKIND_RELATION)
        ereport(ERROR, errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                errmsg("function \"%s\" cannot read partitioned table \"%s\"", enqueue_use.function,
                       RelationGetRelationName(table)),
                errhint("Make the trigger on each partition."));
    snapshot = RegisterSnapshot(GetLatestSnapshot());
    scan = table_beginscan(table, snapshot, 0, NULL);
    slot = table_slot_create(table, NULL);
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
    TriggerPlan *plan = trigger_check(fcinfo, &enqueue_use, sizeof(TriggerPlan));
    bool is_update = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);

    if (!feed_is_enabled || restore_is_running())
        return PointerGetDatum(is_update ? trigger->tg_newtuple : NULL);

    if (!plan->state.is_ready)
        fill_plan(plan, trigger, GetMemoryChunkContext(plan));
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
