/*
 * json_schema/compare/compare.c: decides whether a JSON Schema accepts everything that another
 * one accepts. It looks for a proof (cover.h), and for an example to the contrary (example.h).
 */
#include "extension/base/compat.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

#include "extension/json_schema/compare/compare.h"
#include "extension/json_schema/compare/cover.h"
#include "extension/json_schema/compare/example.h"
#include "extension/json_schema/output.h"
#include "extension/json_schema/sql/cache.h"

/* How many errors of the example are listed. */
#define ERROR_LIMIT 10

JsonSchemaComparison
json_schema_compare(const JsonSchemaProgram *old_program, const JsonSchemaProgram *new_program)
{
    JsonSchemaComparison comparison = {JSON_SCHEMA_COMPATIBLE, NULL};

    if (old_program == new_program || json_schema_covers(new_program, old_program))
        return comparison;
    comparison.example = json_schema_find_example(old_program, new_program);
    comparison.compatibility = comparison.example ? JSON_SCHEMA_INCOMPATIBLE : JSON_SCHEMA_UNKNOWN;
    return comparison;
}

/* ---- SQL ------------------------------------------------------------------------------- */

static void
push_member(JsonbParseState **state, const char *name, JsonbValue value)
{
    JsonbValue key = {.type = jbvString};

    key.val.string.val = (char *)name;
    key.val.string.len = strlen(name);
    pushJsonbValue(state, WJB_KEY, &key);
    pushJsonbValue(state, WJB_VALUE, &value);
}

static Jsonb *
example_errors(const JsonSchemaProgram *program, const Jsonb *example)
{
    JsonSchemaVerdict verdict =
        json_schema_evaluate(program, json_value_of_jsonb(example), 0, ERROR_LIMIT);

    return DatumGetJsonbP(
        DirectFunctionCall1(jsonb_in, CStringGetDatum(json_schema_errors_text(&verdict))));
}

static const char *
word_of(JsonSchemaCompatibility compatibility)
{
    switch (compatibility) {
    case JSON_SCHEMA_COMPATIBLE: return "compatible";
    case JSON_SCHEMA_INCOMPATIBLE: return "incompatible";
    case JSON_SCHEMA_UNKNOWN: break;
    }
    return "unknown";
}

static Jsonb *
comparison_report(const JsonSchemaComparison *comparison, const JsonSchemaProgram *new_program)
{
    const char *word = word_of(comparison->compatibility);
    JsonbParseState *state = NULL;
    JsonbValue value = {.type = jbvString};

    value.val.string.val = (char *)word;
    value.val.string.len = strlen(word);
    pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
    push_member(&state, "compatibility", value);
    if (comparison->example) {
        push_member(&state, "example", example_part(comparison->example));
        push_member(&state, "errors",
                    example_part(example_errors(new_program, comparison->example)));
    }
    return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/*
 * Called when the memory context is reset or deleted, so the references are released even after
 * an error.
 */
static void
release(void *cached)
{
    json_schema_cache_release(cached);
}

static const JsonSchemaProgram *
acquire(const Jsonb *schema)
{
    JsonSchemaCached *cached = json_schema_cache_acquire(schema, 0, 0);
    MemoryContextCallback *callback = palloc(sizeof(MemoryContextCallback));

    callback->func = release;
    callback->arg = cached;
    MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
    return cached->program;
}

static Jsonb *
copy_and_delete(const Jsonb *jsonb, MemoryContext scratch, MemoryContext caller)
{
    Jsonb *copy;

    MemoryContextSwitchTo(caller);
    copy = palloc(VARSIZE(jsonb));
    memcpy(copy, jsonb, VARSIZE(jsonb));
    MemoryContextDelete(scratch);
    return copy;
}

PG_FUNCTION_INFO_V1(ctms_json_schema_compare);
PGDLLEXPORT Datum
ctms_json_schema_compare(PG_FUNCTION_ARGS)
{
    MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "JSON Schema comparison",
                                                  ALLOCSET_DEFAULT_SIZES);
    MemoryContext caller = MemoryContextSwitchTo(scratch);
    const JsonSchemaProgram *old_program = acquire(PG_GETARG_JSONB_P(0));
    const JsonSchemaProgram *new_program = acquire(PG_GETARG_JSONB_P(1));
    JsonSchemaComparison comparison = json_schema_compare(old_program, new_program);
    Jsonb *report = comparison_report(&comparison, new_program);

    PG_RETURN_JSONB_P(copy_and_delete(report, scratch, caller));
}

/* Only the search for an example, for tests; null when it finds nothing. */
PG_FUNCTION_INFO_V1(ctms__json_schema_example);
PGDLLEXPORT Datum
ctms__json_schema_example(PG_FUNCTION_ARGS)
{
    MemoryContext scratch =
        AllocSetContextCreate(CurrentMemoryContext, "JSON Schema example", ALLOCSET_DEFAULT_SIZES);
    MemoryContext caller = MemoryContextSwitchTo(scratch);
    const JsonSchemaProgram *old_program = acquire(PG_GETARG_JSONB_P(0));
    const JsonSchemaProgram *new_program = acquire(PG_GETARG_JSONB_P(1));
    Jsonb *example = json_schema_find_example(old_program, new_program);

    if (example)
        PG_RETURN_JSONB_P(copy_and_delete(example, scratch, caller));
    MemoryContextSwitchTo(caller);
    MemoryContextDelete(scratch);
    PG_RETURN_NULL();
}
