/*
 * base/timestamp.c: keeps update_timestamp up to date.
 *
 * This is a BEFORE UPDATE row trigger on every table that has the column. A real change sets it
 * to now(). An UPDATE that changes nothing leaves it alone. An UPDATE that sets the column itself
 * to another value keeps that value. The columns that record when a Stripe message came do not
 * count as a change.
 */
#include "extension/base/compat.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "extension/base/restore.h"
#include "extension/base/row_change.h"
#include "extension/base/trigger_check.h"

PG_FUNCTION_INFO_V1(ctms__update_timestamp);

static const TriggerUse timestamp_use = {
    "ctms._update_timestamp",
    "BEFORE UPDATE for each row",
    {{TRIGGER_EVENT_ROW | TRIGGER_EVENT_BEFORE, TRIGGER_ON(UPDATE)}}};

typedef struct TimestampColumns {
    TriggerState state;
    int updated_at; /* update_timestamp */
    Bitmapset *ignored;
} TimestampColumns;

static void
find_columns(TimestampColumns *columns, const TriggerData *trigger, MemoryContext context)
{
    const Trigger *self = trigger->tg_trigger;
    MemoryContext caller;

    columns->updated_at =
        trigger_check_column(trigger, &timestamp_use, "update_timestamp", TIMESTAMPTZOID);
    columns->ignored = NULL;
    caller = MemoryContextSwitchTo(context);
    for (int i = 0; i < self->tgnargs; i++)
        columns->ignored =
            bms_add_member(columns->ignored, trigger_check_column(trigger, &timestamp_use,
                                                                  self->tgargs[i], InvalidOid));
    MemoryContextSwitchTo(caller);
    columns->state.is_ready = true;
}

static bool
is_equal(int column, HeapTuple a, HeapTuple b, TupleDesc desc)
{
    bool is_a_null, is_b_null;
    Datum at_a = heap_getattr(a, column, desc, &is_a_null);
    Datum at_b = heap_getattr(b, column, desc, &is_b_null);

    if (is_a_null || is_b_null)
        return is_a_null == is_b_null;
    return DatumGetTimestampTz(at_a) == DatumGetTimestampTz(at_b);
}

/* ctms._update_timestamp(ignored column, ...) → trigger, BEFORE UPDATE FOR EACH ROW */
Datum
ctms__update_timestamp(PG_FUNCTION_ARGS)
{
    TriggerData *trigger = (TriggerData *)fcinfo->context;
    TimestampColumns *columns = trigger_check(fcinfo, &timestamp_use, sizeof(*columns));
    HeapTuple new_row = trigger->tg_newtuple;
    TupleDesc desc = RelationGetDescr(trigger->tg_relation);
    Datum now;
    bool is_null = false;

    if (restore_is_running())
        return PointerGetDatum(new_row);
    if (!columns->state.is_ready)
        find_columns(columns, trigger, GetMemoryChunkContext(columns));
    if (!row_has_changed(trigger->tg_trigtuple, new_row, desc, columns->ignored) ||
        !is_equal(columns->updated_at, trigger->tg_trigtuple, new_row, desc))
        return PointerGetDatum(new_row);

    now = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
    return PointerGetDatum(
        heap_modify_tuple_by_cols(new_row, desc, 1, &columns->updated_at, &now, &is_null));
}
