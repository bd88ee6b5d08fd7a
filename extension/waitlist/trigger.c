/*
 * waitlist/trigger.c: triggers that keep waitlists and their schemas in agreement.
 *
 * A change of ctms.waitlist_fields_schemas first takes the lock SHARE ROW EXCLUSIVE on
 * ctms.waitlists. So it waits for transactions that have stored waitlists, and blocks new ones
 * until it ends. Therefore a row is always checked with the schema that is in force when its
 * transaction commits, and the result that ctms.set_waitlist_schema() gives for the stored rows
 * stays true. Sessions that write waitlists already hold a lock on that table.
 */
#include "extension/base/compat.h"

#include "catalog/namespace.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "extension/base/errors.h"
#include "extension/base/restore.h"
#include "extension/json_schema/output.h"
#include "extension/json_schema/sql/cache.h"
#include "extension/waitlist/waitlist.h"

static TriggerData *
trigger_data(FunctionCallInfo fcinfo)
{
    if (!CALLED_AS_TRIGGER(fcinfo))
        ereport(ERROR, errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                errmsg("this function can only be called as a trigger"));
    return (TriggerData *)fcinfo->context;
}

static HeapTuple
new_row(const TriggerData *trigger)
{
    return TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple
                                                      : trigger->tg_trigtuple;
}

static int
column(const TriggerData *trigger, const char *name)
{
    int number = SPI_fnumber(trigger->tg_relation->rd_att, name);

    if (number <= 0)
        elog(ERROR, "column \"%s\" is missing", name);
    return number;
}

static bool
is_unchanged(const TriggerData *trigger, int number)
{
    TupleDesc row_type = trigger->tg_relation->rd_att;
    bool old_is_null;
    bool new_is_null;
    Datum old = heap_getattr(trigger->tg_trigtuple, number, row_type, &old_is_null);
    Datum new = heap_getattr(trigger->tg_newtuple, number, row_type, &new_is_null);

    if (old_is_null || new_is_null)
        return old_is_null && new_is_null;
    return datum_image_eq(old, new, false, -1);
}

static void
refuse_fields(const char *name, List *found)
{
    List *errors = NIL;
    ListCell *cell;

    foreach (cell, found) {
        const WaitlistFieldError *field = lfirst(cell);
        JsonSchemaError *error = palloc0(sizeof(JsonSchemaError));

        error->instance_location = field->instance_location;
        error->keyword = field->keyword;
        error->keyword_location = field->keyword_location;
        error->message = field->message;
        errors = lappend(errors, error);
    }
    ereport(ERROR, errcode(ERRCODE_CTMS_WAITLIST_FIELDS),
            errmsg("fields of waitlist \"%s\" are not valid", name),
            errdetail_internal("%s", json_schema_error_list_text(errors)),
            errhint("ctms.get_waitlist() shows the schema of the waitlist."));
}

/*
 * Row trigger of ctms.waitlists. An UPDATE that leaves the name and the fields unchanged is not
 * checked again, because the schema may have become stricter for new rows only.
 */
PG_FUNCTION_INFO_V1(ctms__check_waitlist_fields);
PGDLLEXPORT Datum
ctms__check_waitlist_fields(PG_FUNCTION_ARGS)
{
    TriggerData *trigger = trigger_data(fcinfo);
    HeapTuple row = new_row(trigger);
    TupleDesc row_type = trigger->tg_relation->rd_att;
    int name_column = column(trigger, "name");
    int fields_column = column(trigger, "fields");
    bool name_is_null;
    bool fields_is_null;
    Datum name;
    Datum fields;
    List *errors = NIL;
    char *name_text;

    if (restore_is_running() ||
        (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) && is_unchanged(trigger, name_column) &&
         is_unchanged(trigger, fields_column)))
        return PointerGetDatum(row);
    name = heap_getattr(row, name_column, row_type, &name_is_null);
    fields = heap_getattr(row, fields_column, row_type, &fields_is_null);
    if (name_is_null || fields_is_null)
        return PointerGetDatum(row); /* NOT NULL rejects the row */
    name_text = TextDatumGetCString(name);
    if (!waitlist_check_fields(name_text, &DatumGetJsonbP(fields)->root, &errors))
        refuse_fields(name_text, errors);
    return PointerGetDatum(row);
}

/* Statement trigger of ctms.waitlist_fields_schemas, before any change. */
PG_FUNCTION_INFO_V1(ctms__lock_waitlists);
PGDLLEXPORT Datum
ctms__lock_waitlists(PG_FUNCTION_ARGS)
{
    TriggerData *trigger = trigger_data(fcinfo);
    Oid waitlists = get_relname_relid("waitlists", RelationGetNamespace(trigger->tg_relation));

    if (!restore_is_running() && OidIsValid(waitlists))
        LockRelationOid(waitlists, ShareRowExclusiveLock);
    return PointerGetDatum(NULL);
}

/* Row trigger of ctms.waitlist_fields_schemas: rejects a schema that does not compile. */
PG_FUNCTION_INFO_V1(ctms__check_waitlist_schema);
PGDLLEXPORT Datum
ctms__check_waitlist_schema(PG_FUNCTION_ARGS)
{
    TriggerData *trigger = trigger_data(fcinfo);
    HeapTuple row = new_row(trigger);
    bool is_null;
    Datum schema =
        heap_getattr(row, column(trigger, "schema"), trigger->tg_relation->rd_att, &is_null);

    if (!is_null && !restore_is_running())
        json_schema_cache_release(json_schema_cache_acquire(DatumGetJsonbP(schema), 0, 0));
    return PointerGetDatum(row);
}
