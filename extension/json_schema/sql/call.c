/*
 * json_schema/sql/call.c: reads the arguments of the SQL functions.
 *
 * A call site keeps a reference to the program of its schema. A constant argument is recognised
 * by its address, any other by its content.
 */
#include "extension/base/compat.h"

#include "catalog/pg_type.h"
#include "nodes/primnodes.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "extension/json/from_text.h"
#include "extension/json_schema/sql/call.h"

static void
release_site(void *arg)
{
    JsonSchemaSite *site = arg;

    if (site->cached)
        json_schema_cache_release(site->cached);
    site->cached = NULL;
}

static bool
is_constant(FunctionCallInfo fcinfo, int arg)
{
    Node *expression = fcinfo->flinfo->fn_expr;
    List *args = NIL;

    if (expression && IsA(expression, FuncExpr))
        args = ((FuncExpr *)expression)->args;
    return arg < 0 || arg >= PG_NARGS() ||
           (arg < list_length(args) && IsA(list_nth(args, arg), Const));
}

/* Raises the error of type json if it does not accept the text. */
static void
check_json(text *value)
{
    char *json = text_to_cstring(value);

    pfree(DatumGetPointer(DirectFunctionCall1(json_in, CStringGetDatum(json))));
    pfree(json);
}

Jsonb *
json_schema_call_value(FunctionCallInfo fcinfo, int arg)
{
    Oid type = get_fn_expr_argtype(fcinfo->flinfo, arg);
    text *json;

    if (type != JSONOID && type != TEXTOID)
        return PG_GETARG_JSONB_P(arg);
    json = PG_GETARG_TEXT_PP(arg);
    if (type == TEXTOID)
        check_json(json);
    return json_from_text(VARDATA_ANY(json), VARSIZE_ANY_EXHDR(json));
}

static JsonSchemaSite *
call_site(FunctionCallInfo fcinfo, int schema_arg, int options_arg)
{
    JsonSchemaSite *site = fcinfo->flinfo->fn_extra;
    MemoryContextCallback *callback;

    if (site)
        return site;
    site = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(JsonSchemaSite));
    site->is_constant = is_constant(fcinfo, schema_arg) && is_constant(fcinfo, options_arg);
    site->schema_is_text = get_fn_expr_argtype(fcinfo->flinfo, schema_arg) != JSONBOID;
    site->instance_is_text = get_fn_expr_argtype(fcinfo->flinfo, 1) != JSONBOID;
    callback = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(MemoryContextCallback));
    callback->func = release_site;
    callback->arg = site;
    MemoryContextRegisterResetCallback(fcinfo->flinfo->fn_mcxt, callback);
    fcinfo->flinfo->fn_extra = site;
    return site;
}

static int
parse_draft(JsonValue value)
{
    int draft = json_schema_find_draft(value);

    if (draft == 0)
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                errmsg("unknown JSON Schema draft"),
                errhint("The drafts are \"4\", \"6\", \"7\", \"2019-09\" and \"2020-12\"."));
    return draft;
}

static void
refuse_option(JsonValue name)
{
    ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
            errmsg("unknown option \"%s\", or a wrong value for it", json_string_copy(name)),
            errhint("Options are \"draft\", \"assertFormats\" (boolean) and \"assertContent\" "
                    "(boolean)."));
}

void
json_schema_call_options(const Jsonb *options, int *draft, int *asserts)
{
    JsonValue object = json_value_of_jsonb(options);
    JsonWalk names;
    JsonWalk values;

    if (object.kind != JSON_OBJECT)
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                errmsg("options must be a JSON object"));
    json_walk_object(object, &names, &values);
    while (!json_walk_ended(&names)) {
        JsonValue name = json_walk_next(&names);
        JsonValue value = json_walk_next(&values);

        if (json_string_equals(name, "draft"))
            *draft = parse_draft(value);
        else if (value.kind != JSON_TRUE && value.kind != JSON_FALSE)
            refuse_option(name);
        else if (json_string_equals(name, "assertFormats"))
            *asserts |= value.kind == JSON_TRUE ? JSON_SCHEMA_ASSERT_FORMATS : 0;
        else if (json_string_equals(name, "assertContent"))
            *asserts |= value.kind == JSON_TRUE ? JSON_SCHEMA_ASSERT_CONTENT : 0;
        else
            refuse_option(name);
    }
}

const JsonSchemaProgram *
json_schema_call_find(FunctionCallInfo fcinfo, int schema_arg, int options_arg)
{
    JsonSchemaSite *site = call_site(fcinfo, schema_arg, options_arg);
    Datum schema = PG_GETARG_DATUM(schema_arg);
    bool has_options = options_arg >= 0 && options_arg < PG_NARGS();
    Datum options = has_options ? PG_GETARG_DATUM(options_arg) : (Datum)0;
    JsonSchemaCached *cached = site->cached;
    Jsonb *detoasted;
    int draft = 0;
    int asserts = 0;

    detoasted =
        site->schema_is_text ? json_schema_call_value(fcinfo, schema_arg) : DatumGetJsonbP(schema);
    if (has_options)
        json_schema_call_options(DatumGetJsonbP(options), &draft, &asserts);
    if (!cached || !json_schema_cache_is_current(cached) || cached->draft != draft ||
        cached->asserts != asserts || VARSIZE(cached->schema) != VARSIZE(detoasted) ||
        memcmp(cached->schema, detoasted, VARSIZE(detoasted)) != 0) {
        release_site(site);
        site->constant = (Datum)0;
        site->cached = json_schema_cache_acquire(detoasted, draft, asserts);
    }
    if (site->is_constant && !json_schema_uses_loader(site->cached->program))
        site->constant = schema;
    if ((Pointer)detoasted != DatumGetPointer(schema))
        pfree(detoasted);
    return site->cached->program;
}
