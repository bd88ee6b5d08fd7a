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
#include "commands/trigger.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "extension/base/restore.h"
#include "extension/base/row_change.h"

PG_FUNCTION_INFO_V1(ctms__update_timestamp);

/* ctms._update_timestamp(ignored column, ...) → trigger, BEFORE UPDATE FOR EACH ROW */
Datum
ctms__update_timestamp(PG_FUNCTION_ARGS)
{
    TriggerData *trigger = (TriggerData *)fcinfo->context;
    TupleDesc desc;
    HeapTuple new_row;
    Bitmapset *ignored = NULL;
    int column;
    Datum now;
    bool is_null = false;

    if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
        !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) || !TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
        ereport(ERROR, errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                errmsg("function \"%s\" must be fired BEFORE UPDATE for each row",
                       "ctms._update_timestamp"));
    new_row = trigger->tg_newtuple;
    if (restore_is_running())
        return PointerGetDatum(new_row);

    desc = RelationGetDescr(trigger->tg_relation);
    column = row_column_number(desc, "update_timestamp");
    for (int i = 0; i < trigger->tg_trigger->tgnargs; i++)
        ignored = bms_add_member(ignored, row_column_number(desc, trigger->tg_trigger->tgargs[i]));
    if (!row_has_changed(trigger->tg_trigtuple, new_row, desc, ignored))
        return PointerGetDatum(new_row);
    if (DatumGetTimestampTz(heap_getattr(trigger->tg_trigtuple, column, desc, &is_null)) !=
        DatumGetTimestampTz(heap_getattr(new_row, column, desc, &is_null)))
        return PointerGetDatum(new_row);

    now = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
    is_null = false;
    return PointerGetDatum(heap_modify_tuple_by_cols(new_row, desc, 1, &column, &now, &is_null));
}
