/*
 * json_schema/sql/registry.c: the documents to which schemas may refer, from the table
 * ctms.json_schema_document.
 *
 * A trigger asks for the relcache invalidation of this table when it changes. The invalidation
 * makes compiled schemas stale that have read the table.
 */
#include "extension/base/compat.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "extension/base/restore.h"
#include "extension/base/stored_jsonb.h"
#include "extension/base/trigger_check.h"
#include "extension/json_schema/sql/cache.h"

static Oid registry_relid = InvalidOid;
static SPIPlanPtr load_plan;

static Oid
find_registry(void)
{
    Oid schema = get_namespace_oid("ctms", true);

    if (OidIsValid(schema))
        registry_relid = get_relname_relid("json_schema_document", schema);
    return registry_relid;
}

static void
registry_changed(Datum arg, Oid relid)
{
    if (relid == InvalidOid || relid == registry_relid)
        json_schema_cache_forget_registry();
}

const Jsonb *
json_schema_registry_load(const char *uri)
{
    if (!OidIsValid(find_registry()))
        return NULL;
    return stored_jsonb_read(registry_relid, &load_plan,
                             "SELECT schema::pg_catalog.jsonb FROM ctms.json_schema_document"
                             " WHERE uri OPERATOR(pg_catalog.=) $1",
                             uri);
}

void
json_schema_registry_init(void)
{
    json_schema_cache_set_loader(json_schema_registry_load);
    CacheRegisterRelcacheCallback(registry_changed, (Datum)0);
}

static const TriggerUse invalidate_use = {
    "ctms._invalidate_table",
    "AFTER INSERT, UPDATE or DELETE for each row, or AFTER TRUNCATE",
    {{TRIGGER_EVENT_ROW, TRIGGER_ON_ROWS}, {0, TRIGGER_ON(TRUNCATE)}}};

/*
 * Trigger for a table whose rows sessions keep in memory. Other sessions hear of a change when it
 * commits, this session at its next command. It is for each row because changes that arrive by
 * logical replication fire no triggers for statements, except TRUNCATE.
 */
PG_FUNCTION_INFO_V1(ctms__invalidate_table);
PGDLLEXPORT Datum
ctms__invalidate_table(PG_FUNCTION_ARGS)
{
    TriggerData *trigger = (TriggerData *)fcinfo->context;

    (void)trigger_check(fcinfo, &invalidate_use, sizeof(TriggerState));
    CacheInvalidateRelcacheByRelid(RelationGetRelid(trigger->tg_relation));
    return PointerGetDatum(NULL);
}

static const TriggerUse check_use = {
    "ctms._check_json_schema_document",
    "BEFORE INSERT or UPDATE for each row",
    {{TRIGGER_EVENT_ROW | TRIGGER_EVENT_BEFORE, TRIGGER_ON(INSERT) | TRIGGER_ON(UPDATE)}}};

typedef struct DocumentColumns {
    TriggerState state;
    AttrNumber uri;
    AttrNumber schema;
} DocumentColumns;

/*
 * Row trigger of ctms.json_schema_document: refuses what is no schema. References are not looked
 * at, because documents may refer to one another.
 */
PG_FUNCTION_INFO_V1(ctms__check_json_schema_document);
PGDLLEXPORT Datum
ctms__check_json_schema_document(PG_FUNCTION_ARGS)
{
    const TriggerData *trigger = (TriggerData *)fcinfo->context;
    DocumentColumns *columns = trigger_check(fcinfo, &check_use, sizeof(*columns));
    TupleDesc row_type = RelationGetDescr(trigger->tg_relation);
    HeapTuple row =
        TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : trigger->tg_trigtuple;
    bool is_null[2];
    Datum uri;
    Datum schema;

    if (restore_is_running())
        return PointerGetDatum(row);
    if (!columns->state.is_ready) {
        columns->uri = trigger_check_column(trigger, &check_use, "uri", TEXTOID);
        columns->schema = trigger_check_column(trigger, &check_use, "schema", JSONBOID);
        columns->state.is_ready = true;
    }
    uri = heap_getattr(row, columns->uri, row_type, &is_null[0]);
    schema = heap_getattr(row, columns->schema, row_type, &is_null[1]);
    if (!is_null[0] && !is_null[1])
        json_schema_check_document(TextDatumGetCString(uri), DatumGetJsonbP(schema),
                                   json_schema_registry_load);
    return PointerGetDatum(row);
}
