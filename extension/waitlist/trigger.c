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
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "extension/base/errors.h"
#include "extension/base/restore.h"
#include "extension/base/trigger_check.h"
#include "extension/json_schema/output.h"
#include "extension/json_schema/sql/cache.h"
#include "extension/waitlist/waitlist.h"

#define BEFORE_ROW (TRIGGER_EVENT_ROW | TRIGGER_EVENT_BEFORE)

static const TriggerUse fields_use = {"ctms._check_waitlist_fields",
                                      "BEFORE INSERT or UPDATE for each row",
                                      {{BEFORE_ROW, TRIGGER_ON(INSERT) | TRIGGER_ON(UPDATE)}}};
static const TriggerUse lock_use = {
    "ctms._lock_waitlists",
    "BEFORE each statement",
    {{TRIGGER_EVENT_BEFORE, TRIGGER_ON_ROWS | TRIGGER_ON(TRUNCATE)}}};
static const TriggerUse schema_use = {"ctms._check_waitlist_schema",
                                      "BEFORE INSERT or UPDATE for each row",
                                      {{BEFORE_ROW, TRIGGER_ON(INSERT) | TRIGGER_ON(UPDATE)}}};

typedef struct FieldsColumns {
    TriggerState state;
    AttrNumber name;
    AttrNumber fields;
} FieldsColumns;

typedef struct SchemaColumn {
    TriggerState state;
    AttrNumber schema;
} SchemaColumn;

static HeapTuple
new_row(const TriggerData *trigger)
{
    return TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple
                                                      : trigger->tg_trigtuple;
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
    const TriggerData *trigger = (TriggerData *)fcinfo->context;
    FieldsColumns *columns = trigger_check(fcinfo, &fields_use, sizeof(*columns));
    HeapTuple row = new_row(trigger);
    TupleDesc row_type = RelationGetDescr(trigger->tg_relation);
    bool name_is_null;
    bool fields_is_null;
    Datum name;
    Datum fields;
    List *errors = NIL;
    char *name_text;

    if (restore_is_running())
        return PointerGetDatum(row);
    if (!columns->state.is_ready) {
        columns->name = trigger_check_column(trigger, &fields_use, "name", TEXTOID);
        columns->fields = trigger_check_column(trigger, &fields_use, "fields", JSONBOID);
        columns->state.is_ready = true;
    }
    if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) && is_unchanged(trigger, columns->name) &&
        is_unchanged(trigger, columns->fields))
        return PointerGetDatum(row);
    name = heap_getattr(row, columns->name, row_type, &name_is_null);
    fields = heap_getattr(row, columns->fields, row_type, &fields_is_null);
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
    const TriggerData *trigger = (TriggerData *)fcinfo->context;
    Oid waitlists;

    (void)trigger_check(fcinfo, &lock_use, sizeof(TriggerState));
    if (restore_is_running())
        return PointerGetDatum(NULL);
    waitlists = get_relname_relid("waitlists", RelationGetNamespace(trigger->tg_relation));
    if (!OidIsValid(waitlists))
        ereport(ERROR, errcode(ERRCODE_UNDEFINED_TABLE),
                errmsg("relation \"%s\" does not exist", "ctms.waitlists"));
    LockRelationOid(waitlists, ShareRowExclusiveLock);
    return PointerGetDatum(NULL);
}

/* Row trigger of ctms.waitlist_fields_schemas: rejects a schema that does not compile. */
PG_FUNCTION_INFO_V1(ctms__check_waitlist_schema);
PGDLLEXPORT Datum
ctms__check_waitlist_schema(PG_FUNCTION_ARGS)
{
    const TriggerData *trigger = (TriggerData *)fcinfo->context;
    SchemaColumn *column = trigger_check(fcinfo, &schema_use, sizeof(*column));
    HeapTuple row = new_row(trigger);
    bool is_null;
    Datum schema;

    if (restore_is_running())
        return PointerGetDatum(row);
    if (!column->state.is_ready) {
        column->schema = trigger_check_column(trigger, &schema_use, "schema", JSONBOID);
        column->state.is_ready = true;
    }
    schema = heap_getattr(row, column->schema, RelationGetDescr(trigger->tg_relation), &is_null);
    if (!is_null)
        json_schema_cache_release(json_schema_cache_acquire_whole(DatumGetJsonbP(schema)));
    return PointerGetDatum(row);
}
