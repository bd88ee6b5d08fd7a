/*
 * json_schema/sql/sql.c: the SQL functions ctms.json_schema_*.
 */
#include "extension/base/compat.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "extension/base/restore.h"
#include "extension/base/result_row.h"
#include "extension/json_schema/output.h"
#include "extension/json_schema/sql/call.h"

/*
 * Copies up to 126 bytes. For so few bytes, memcpy of an unknown length costs more than the
 * verdict.
 */
static inline void
copy_short(char *to, const char *from, uint32 length)
{
    uint32 i = 0;

    if (length < 16) {
        for (; i + 4 <= length; i += 4)
            memcpy(to + i, from + i, 4);
        for (; i < length; i++)
            to[i] = from[i];
        return;
    }
    for (; i + 16 < length; i += 16)
        memcpy(to + i, from + i, 16);
    memcpy(to + length - 16, from + length - 16, 16);
}

static pg_noinline bool
run_detoasted(FunctionCallInfo fcinfo, const JsonSchemaProgram *program)
{
    Jsonb *instance = json_schema_call_value(fcinfo, 1);
    bool is_valid = json_schema_run(program, json_value_of_jsonb(instance));

    if ((Pointer)instance != DatumGetPointer(PG_GETARG_DATUM(1)))
        pfree(instance);
    return is_valid;
}

/*
 * Runs on the value of a row without detoasting it. A value with a short header is copied to an
 * aligned place on the stack; a short header means that it is short enough for that.
 */
static inline bool
run_in_place(FunctionCallInfo fcinfo, const JsonSchemaProgram *program)
{
    const struct varlena *raw = (const struct varlena *)PG_GETARG_POINTER(1);
    const JsonSchemaSite *site = fcinfo->flinfo->fn_extra;
    union {
        Jsonb jsonb;
        char bytes[VARATT_SHORT_MAX + VARHDRSZ];
    } copy;

    if (unlikely(site->instance_is_text))
        return run_detoasted(fcinfo, program);
    if (!VARATT_IS_EXTENDED(raw))
        return json_schema_run(program, json_value_of_jsonb((const Jsonb *)raw));
    if (!VARATT_IS_SHORT(raw) || VARATT_IS_EXTERNAL(raw))
        return run_detoasted(fcinfo, program);
    copy.jsonb.root.header = 0; /* a value too short to have one does not occur */
    copy_short(VARDATA(copy.bytes), VARDATA_SHORT(raw), VARSIZE_SHORT(raw) - VARHDRSZ_SHORT);
    return json_schema_run(program, json_value_of_jsonb(&copy.jsonb));
}

PG_FUNCTION_INFO_V1(ctms_json_schema_is_valid);
PGDLLEXPORT Datum
ctms_json_schema_is_valid(PG_FUNCTION_ARGS)
{
    const JsonSchemaProgram *program = json_schema_call_program(fcinfo, 0, 2);

    PG_RETURN_BOOL(run_in_place(fcinfo, program));
}

/* ---- rows ----------------------------------------------------------------------- */

/* Makes the tuplestore, with its row type, from which the caller's result set is read. */
static ReturnSetInfo *
begin_rows(FunctionCallInfo fcinfo)
{
    ReturnSetInfo *result = (ReturnSetInfo *)fcinfo->resultinfo;
    MemoryContext old;

    if (!result || !IsA(result, ReturnSetInfo) || !(result->allowedModes & SFRM_Materialize))
        ereport(ERROR, errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                errmsg("set-valued function called in a context that cannot accept a set"));
    old = MemoryContextSwitchTo(result->econtext->ecxt_per_query_memory);
    if (get_call_result_type(fcinfo, NULL, &result->setDesc) != TYPEFUNC_COMPOSITE)
        elog(ERROR, "return type must be a row type");
    result->returnMode = SFRM_Materialize;
    result->setResult = tuplestore_begin_heap(true, false, work_mem);
    MemoryContextSwitchTo(old);
    return result;
}

static void
put_row(ReturnSetInfo *rows, const char *const *texts)
{
    Datum values[5];
    bool nulls[5];

    for (int i = 0; i < 5; i++) {
        nulls[i] = texts[i] == NULL;
        values[i] = nulls[i] ? (Datum)0 : CStringGetTextDatum(texts[i]);
    }
    result_row_put(rows, values, nulls, lengthof(values));
}

PG_FUNCTION_INFO_V1(ctms_json_schema_errors);
PGDLLEXPORT Datum
ctms_json_schema_errors(PG_FUNCTION_ARGS)
{
    const JsonSchemaProgram *program = json_schema_call_program(fcinfo, 0, 2);
    JsonValue instance = json_value_of_jsonb(json_schema_call_value(fcinfo, 1));
    ReturnSetInfo *rows = begin_rows(fcinfo);
    JsonSchemaVerdict verdict;
    ListCell *cell;

    if (json_schema_run(program, instance))
        return (Datum)0;
    verdict = json_schema_evaluate(program, instance, 0, JSON_SCHEMA_ERROR_LIMIT);
    foreach (cell, json_schema_flatten_errors(&verdict)) {
        const JsonSchemaError *error = lfirst(cell);
        const char *texts[5] = {error->keyword_location, error->absolute_keyword_location,
                                error->instance_location, error->keyword, error->message};

        put_row(rows, texts);
    }
    if (verdict.is_cut) {
        const char *texts[5] = {"", "", "", NULL, "there are more errors than are listed"};

        put_row(rows, texts);
    }
    return (Datum)0;
}

PG_FUNCTION_INFO_V1(ctms_json_schema_check);
PGDLLEXPORT Datum
ctms_json_schema_check(PG_FUNCTION_ARGS)
{
    JsonSchemaOptions options = {.loader = json_schema_registry_load, .is_whole = true};
    Jsonb *schema = json_schema_call_value(fcinfo, 0);
    ReturnSetInfo *rows = begin_rows(fcinfo);
    List *problems;
    JsonSchemaProgram *program;
    ListCell *cell;

    if (PG_NARGS() > 1)
        json_schema_call_options(json_schema_call_value(fcinfo, 1), &options.draft,
                                 &options.asserts);
    program = json_schema_compile(schema, &options, CurrentMemoryContext, &problems);
    if (program)
        json_schema_free(program);
    foreach (cell, problems) {
        const JsonSchemaProblem *problem = lfirst(cell);
        const char *pointer = strchr(problem->location, '#') + 1;
        const char *texts[5] = {NULL, problem->location, pointer, problem->keyword,
                                problem->message};

        put_row(rows, texts);
    }
    return (Datum)0;
}

PG_FUNCTION_INFO_V1(ctms_json_schema_warnings);
PGDLLEXPORT Datum
ctms_json_schema_warnings(PG_FUNCTION_ARGS)
{
    JsonSchemaOptions options = {.loader = json_schema_registry_load};
    Jsonb *schema = json_schema_call_value(fcinfo, 0);
    ReturnSetInfo *rows = begin_rows(fcinfo);
    ListCell *cell;

    json_schema_call_options(json_schema_call_value(fcinfo, 1), &options.draft, &options.asserts);
    foreach (cell, json_schema_find_warnings(schema, &options)) {
        const JsonSchemaWarning *warning = lfirst(cell);
        const char *location = warning->location;
        const char *texts[5] = {location, location ? strchr(location, '#') + 1 : NULL,
                                warning->keyword, warning->suggestion, warning->text};

        put_row(rows, texts);
    }
    return (Datum)0;
}

/* ---- verdicts with reasons --------------------------------------------------------- */

PG_FUNCTION_INFO_V1(ctms_json_schema_assert);
PGDLLEXPORT Datum
ctms_json_schema_assert(PG_FUNCTION_ARGS)
{
    const JsonSchemaProgram *program;
    JsonValue value;
    JsonSchemaVerdict verdict;

    /* In a dump, rows may come before the documents to which their schema refers, or be older
     * than their schema. */
    if (restore_is_running())
        PG_RETURN_BOOL(true);
    program = json_schema_call_program(fcinfo, 0, 2);
    if (run_in_place(fcinfo, program))
        PG_RETURN_BOOL(true);
    value = json_value_of_jsonb(json_schema_call_value(fcinfo, 1));
    verdict = json_schema_evaluate(program, value, 0, JSON_SCHEMA_ERROR_LIMIT);
    ereport(ERROR, errcode(ERRCODE_CHECK_VIOLATION),
            errmsg("value is not valid under its JSON Schema"),
            errdetail_internal("%s", json_schema_errors_text(&verdict)));
}

PG_FUNCTION_INFO_V1(ctms_json_schema_validate);
PGDLLEXPORT Datum
ctms_json_schema_validate(PG_FUNCTION_ARGS)
{
    const JsonSchemaProgram *program = json_schema_call_program(fcinfo, 0, 3);
    JsonValue instance = json_value_of_jsonb(json_schema_call_value(fcinfo, 1));
    char *name = text_to_cstring(PG_GETARG_TEXT_PP(2));
    JsonSchemaOutputFormat format;
    JsonSchemaVerdict verdict;

    if (!json_schema_output_find(name, &format))
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                errmsg("unknown output format \"%s\"", name),
                errhint("The formats are \"flag\", \"basic\", \"detailed\", \"verbose\", \"list\" "
                        "and \"hierarchical\"."));
    if (format == OUTPUT_FLAG) {
        verdict.valid = json_schema_run(program, instance);
        verdict.unit = NULL;
        verdict.is_cut = false;
    } else {
        verdict = json_schema_evaluate(program, instance, json_schema_output_flags(format),
                                       JSON_SCHEMA_ERROR_LIMIT);
    }
    PG_RETURN_JSONB_P(json_schema_output(&verdict, format));
}
