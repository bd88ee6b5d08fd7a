/*
 * target_schema.c: a schema against an instance.
 *
 * The input is {"schema", "instance", "documents": {uri: schema}, "draft", "formats", "content"}.
 * All ways of evaluation must give the same verdict: the fast program, the exhaustive evaluation
 * with and without annotations, every output format, the schema reached through a reference, and
 * the instance read from text.
 */
#include "test/fuzz/backend/fuzz.h"

#include "utils/builtins.h"
#include "utils/memutils.h"

#include "extension/json/pointer.h"
#include "extension/json_schema/json_schema.h"
#include "extension/json_schema/output.h"
#include "extension/json/from_text.h"

#define SCHEMA_URI "urn:fuzz:schema"

static const Jsonb *documents;
static const Jsonb *schema;

static const Jsonb *
load(const char *uri)
{
    JsonValue value;

    if (strcmp(uri, SCHEMA_URI) == 0)
        return schema;
    if (!documents || json_value_of_jsonb(documents).kind != JSON_OBJECT ||
        !json_object_get(json_value_of_jsonb(documents), uri, strlen(uri), &value))
        return NULL;
    return json_value_to_jsonb(value);
}

static Jsonb *
member(JsonValue object, const char *name)
{
    JsonValue value;

    if (object.kind != JSON_OBJECT || !json_object_get(object, name, strlen(name), &value))
        return NULL;
    return json_value_to_jsonb(value);
}

static JsonSchemaOptions
read_options(JsonValue input)
{
    static const int drafts[] = {4, 6, 7, 2019, 2020};
    JsonSchemaOptions options = {.loader = load, .is_whole = true};
    JsonValue value;

    if (json_object_get(input, "formats", 7, &value) && value.kind == JSON_TRUE)
        options.asserts |= JSON_SCHEMA_ASSERT_FORMATS;
    if (json_object_get(input, "content", 7, &value) && value.kind == JSON_TRUE)
        options.asserts |= JSON_SCHEMA_ASSERT_CONTENT;
    if (json_object_get(input, "draft", 5, &value) && value.kind == JSON_NUMBER)
        for (size_t i = 0; i < lengthof(drafts); i++) {
            Jsonb *number = fuzz_jsonb(psprintf("%d", drafts[i]));

            if (json_values_equal(json_value_of_jsonb(number), value))
                options.draft = drafts[i];
        }
    return options;
}

/* A location must exist in the instance. */
static void
check_location(JsonValue value, const char *pointer)
{
    StringInfoData token;

    initStringInfo(&token);
    while (json_pointer_next(&pointer, &token)) {
        FUZZ_CHECK(value.kind == JSON_OBJECT || value.kind == JSON_ARRAY);
        if (value.kind == JSON_OBJECT) {
            FUZZ_CHECK(json_object_get(value, token.data, token.len, &value));
        } else {
            int64 index = json_pointer_index(token.data);
            JsonWalk walk = json_walk_array(value);

            FUZZ_CHECK(index >= 0 && index < json_count(value));
            while (index-- > 0)
                json_walk_next(&walk);
            value = json_walk_next(&walk);
        }
    }
    FUZZ_CHECK(*pointer == '\0');
}

static void
check_errors(const JsonSchemaVerdict *verdict, JsonValue instance)
{
    List *errors = json_schema_flatten_errors(verdict);
    ListCell *cell;

    FUZZ_CHECK(verdict->valid == (errors == NIL));
    foreach (cell, errors) {
        const JsonSchemaError *error = lfirst(cell);

        FUZZ_CHECK(error->keyword_location && error->absolute_keyword_location && error->message);
        check_location(instance, error->instance_location);
    }
    if (!verdict->valid)
        fuzz_jsonb(json_schema_errors_text(verdict));
}

static void
check_outputs(const JsonSchemaProgram *program, JsonValue instance, bool is_valid)
{
    static const JsonSchemaOutputFormat formats[] = {OUTPUT_FLAG,     OUTPUT_BASIC,
                                                     OUTPUT_DETAILED, OUTPUT_VERBOSE,
                                                     OUTPUT_LIST,     OUTPUT_HIERARCHICAL};

    for (size_t i = 0; i < lengthof(formats); i++) {
        JsonSchemaVerdict verdict =
            json_schema_evaluate(program, instance, json_schema_output_flags(formats[i]), 1000);
        Jsonb *output = json_schema_output(&verdict, formats[i]);
        JsonValue value;

        FUZZ_CHECK(verdict.valid == is_valid);
        FUZZ_CHECK(json_object_get(json_value_of_jsonb(output), "valid", 5, &value));
        FUZZ_CHECK(value.kind == (is_valid ? JSON_TRUE : JSON_FALSE));
    }
}

static void
check_through_reference(const JsonSchemaOptions *options, JsonValue instance, bool is_valid)
{
    Jsonb *reference = fuzz_jsonb("{\"$ref\": \"" SCHEMA_URI "\"}");
    List *problems = NIL;
    JsonSchemaProgram *program =
        json_schema_compile(reference, options, CurrentMemoryContext, &problems);

    FUZZ_CHECK(program != NULL);
    FUZZ_CHECK(json_schema_run(program, instance) == is_valid);
}

static void
check_from_text(const JsonSchemaProgram *program, Jsonb *instance, bool is_valid)
{
    char *text = JsonbToCString(NULL, &instance->root, VARSIZE(instance));
    Jsonb *again = json_from_text(text, strlen(text));

    FUZZ_CHECK(VARSIZE(again) == VARSIZE(instance));
    FUZZ_CHECK(memcmp(again, instance, VARSIZE(again)) == 0);
    FUZZ_CHECK(json_schema_run(program, json_value_of_jsonb(again)) == is_valid);
}

/* Copies it, so that nothing follows its last byte. */
static Jsonb *
exact_copy(const Jsonb *jsonb)
{
    Jsonb *copy = palloc(VARSIZE(jsonb));

    memcpy(copy, jsonb, VARSIZE(jsonb));
    return copy;
}

void
fuzz_schema(const char *data, size_t size)
{
    JsonValue input;
    Jsonb *instance;
    JsonValue value;
    JsonSchemaOptions options;
    JsonSchemaProgram *program;
    JsonSchemaVerdict verdict;
    List *problems = NIL;
    bool is_valid;

    if (memchr(data, '\0', size) || !fuzz_is_text(data, size))
        return;
    input = json_value_of_jsonb(fuzz_jsonb(pnstrdup(data, size)));
    schema = member(input, "schema");
    instance = member(input, "instance");
    documents = member(input, "documents");
    if (!schema || !instance)
        return;
    options = read_options(input);
    program = json_schema_compile(schema, &options, CurrentMemoryContext, &problems);
    FUZZ_CHECK((program == NULL) == (problems != NIL));
    if (!program)
        return;
    instance = exact_copy(instance);
    value = json_value_of_jsonb(instance);
    is_valid = json_schema_run(program, value);
    FUZZ_CHECK(json_schema_run(program, value) == is_valid);
    verdict = json_schema_evaluate(program, value, 0, 1000);
    FUZZ_CHECK(verdict.valid == is_valid);
    check_errors(&verdict, value);
    check_outputs(program, value, is_valid);
    check_from_text(program, instance, is_valid);
    check_through_reference(&options, value, is_valid);
}
