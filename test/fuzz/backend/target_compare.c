/*
 * target_compare.c: whether a new schema accepts everything that an old one accepts.
 *
 * The input is {"old", "new", "instance"}. If an example is found, the old schema must accept it
 * and the new one must refuse it. If compatibility is proved, the instance must not be such an
 * example.
 */
#include "test/fuzz/backend/fuzz.h"

#include "utils/memutils.h"

#include "extension/json_schema/compare/compare.h"

static JsonSchemaProgram *
compile(JsonValue input, const char *name)
{
    JsonSchemaOptions options = {.loader = NULL};
    List *problems = NIL;
    JsonValue value;

    if (!json_object_get(input, name, strlen(name), &value))
        return NULL;
    return json_schema_compile(json_value_to_jsonb(value), &options, CurrentMemoryContext,
                               &problems);
}

static bool
is_example(const JsonSchemaProgram *old_program, const JsonSchemaProgram *new_program,
           JsonValue value)
{
    return json_schema_run(old_program, value) && !json_schema_run(new_program, value);
}

void
fuzz_compare(const char *data, size_t size)
{
    JsonValue input;
    JsonValue instance;
    JsonSchemaProgram *old_program;
    JsonSchemaProgram *new_program;
    JsonSchemaComparison comparison;

    if (memchr(data, '\0', size) || !fuzz_is_text(data, size))
        return;
    input = json_value_of_jsonb(fuzz_jsonb(pnstrdup(data, size)));
    if (input.kind != JSON_OBJECT)
        return;
    old_program = compile(input, "old");
    new_program = compile(input, "new");
    if (!old_program || !new_program)
        return;
    comparison = json_schema_compare(old_program, new_program);
    FUZZ_CHECK((comparison.example != NULL) ==
               (comparison.compatibility == JSON_SCHEMA_INCOMPATIBLE));
    if (comparison.example)
        FUZZ_CHECK(is_example(old_program, new_program, json_value_of_jsonb(comparison.example)));
    if (comparison.compatibility == JSON_SCHEMA_COMPATIBLE &&
        json_object_get(input, "instance", 8, &instance))
        FUZZ_CHECK(!is_example(old_program, new_program, instance));
}
