/*
 * json_schema/keywords.c: compiles the keywords that assert something about the instance itself
 * and have no subschemas.
 */
#include "extension/base/compat.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "extension/json/hash.h"
#include "extension/json/number.h"
#include "extension/json_schema/format/format.h"
#include "extension/json_schema/internal.h"

/* Up to this many values are compared one by one. */
#define SHORT_ENUM 16

static uint32
type_bits(JsonValue name)
{
    static const struct {
        const char *name;
        uint32 bits;
    } types[] = {
        {"null", JSON_KIND_BIT(JSON_NULL)},
        {"boolean", JSON_KIND_BIT(JSON_TRUE) | JSON_KIND_BIT(JSON_FALSE)},
        {"object", JSON_KIND_BIT(JSON_OBJECT)},
        {"array", JSON_KIND_BIT(JSON_ARRAY)},
        {"number", JSON_KIND_BIT(JSON_NUMBER)},
        {"string", JSON_KIND_BIT(JSON_STRING)},
        {"integer", TYPE_INTEGER},
    };

    if (name.kind == JSON_STRING)
        for (int i = 0; i < (int)lengthof(types); i++)
            if (json_string_equals(name, types[i].name))
                return types[i].bits;
    return 0;
}

static void
compile_type(JsonSchemaCompile *compile, JsonSchemaNode *node, JsonSchemaKeyword *keyword)
{
    JsonWalk walk;

    keyword->types = type_bits(keyword->value);
    if (keyword->types == 0 && keyword->value.kind == JSON_ARRAY) {
        walk = json_walk_array(keyword->value);
        while (!json_walk_ended(&walk)) {
            uint32 bits = type_bits(json_walk_next(&walk));

            if (bits == 0) {
                keyword->types = 0;
                break;
            }
            keyword->types |= bits;
        }
    }
    if (keyword->types == 0)
        json_schema_bad_value(compile, node, keyword,
                              "the name of a JSON type or an array of them");
    if (keyword->types & JSON_KIND_BIT(JSON_NUMBER))
        keyword->types &= ~TYPE_INTEGER;
}

static void
index_enum(JsonSchemaKeyword *keyword)
{
    JsonSet *set = palloc(sizeof(JsonSet));

    *set = json_set_new(keyword->value, keyword->names);
    for (int i = 0; i < keyword->n; i++) {
        CHECK_FOR_INTERRUPTS();
        json_set_enter(set, i, keyword->names[i], json_value_hash(keyword->names[i]));
    }
    keyword->set = set;
}

static void
compile_enum(JsonSchemaCompile *compile, JsonSchemaNode *node, JsonSchemaKeyword *keyword)
{
    JsonWalk walk;

    if (keyword->value.kind != JSON_ARRAY) {
        json_schema_bad_value(compile, node, keyword, "an array");
        return;
    }
    keyword->names = palloc(sizeof(JsonValue) * Max(json_count(keyword->value), 1));
    walk = json_walk_array(keyword->value);
    while (!json_walk_ended(&walk))
        keyword->names[keyword->n++] = json_walk_next(&walk);
    if (keyword->n > SHORT_ENUM)
        index_enum(keyword);
}

static void
compile_count(JsonSchemaCompile *compile, JsonSchemaNode *node, JsonSchemaKeyword *keyword)
{
    keyword->count = keyword->value.kind == JSON_NUMBER ? json_number_to_count(keyword->value) : -1;
    if (keyword->count < 0)
        json_schema_bad_value(compile, node, keyword, "an integer of 0 or more");
}

static bool
is_positive(JsonValue number)
{
    JsonDecimal decimal;
    Datum zero = DirectFunctionCall1(int4_numeric, Int32GetDatum(0));

    if (json_number_to_decimal(number, &decimal))
        return decimal.mantissa > 0;
    return DatumGetBool(DirectFunctionCall2(numeric_gt, PointerGetDatum(number.data), zero));
}

static void
compile_flag(JsonSchemaCompile *compile, JsonSchemaNode *node, JsonSchemaKeyword *keyword)
{
    if (keyword->value.kind != JSON_TRUE && keyword->value.kind != JSON_FALSE)
        json_schema_bad_value(compile, node, keyword, "a boolean");
}

/* Bounds of numbers. In draft 4 "exclusiveMinimum" is a flag that goes with "minimum". */
static void
compile_bound(JsonSchemaCompile *compile, JsonSchemaNode *node, JsonSchemaKeyword *keyword)
{
    bool is_minimum = keyword->kind == KEYWORD_MINIMUM;
    JsonValue flag;

    if (node->resource->dialect.draft == 4 && (keyword->kind == KEYWORD_EXCLUSIVE_MINIMUM ||
                                               keyword->kind == KEYWORD_EXCLUSIVE_MAXIMUM)) {
        compile_flag(compile, node, keyword);
        keyword->kind = KEYWORD_ANNOTATION;
        keyword->applies = 0;
        return;
    }
    if (keyword->value.kind != JSON_NUMBER) {
        json_schema_bad_value(compile, node, keyword, "a number");
        return;
    }
    if (keyword->kind == KEYWORD_MULTIPLE_OF && !is_positive(keyword->value))
        json_schema_bad_value(compile, node, keyword, "a number greater than 0");
    if (node->resource->dialect.draft == 4 && keyword->kind != KEYWORD_MULTIPLE_OF &&
        json_object_get(node->source, is_minimum ? "exclusiveMinimum" : "exclusiveMaximum", 16,
                        &flag) &&
        flag.kind == JSON_TRUE)
        keyword->kind = is_minimum ? KEYWORD_EXCLUSIVE_MINIMUM : KEYWORD_EXCLUSIVE_MAXIMUM;
}

static void
compile_pattern(JsonSchemaCompile *compile, JsonSchemaNode *node, JsonSchemaKeyword *keyword)
{
    char *error = NULL;

    if (keyword->value.kind != JSON_STRING) {
        json_schema_bad_value(compile, node, keyword, "a string");
        return;
    }
    keyword->patterns = palloc(sizeof(Regex *));
    keyword->patterns[0] = regex_compile(keyword->value.data, keyword->value.length, &error);
    keyword->n = 1;
    json_schema_check_size(compile->program);
    if (error)
        json_schema_problem(compile, node->resource, node->pointer, keyword->name,
                            "invalid regular expression: %s", error);
}

/* An annotation, unless the dialect or the options ask for it to be checked. */
static void
compile_format(JsonSchemaCompile *compile, JsonSchemaNode *node, JsonSchemaKeyword *keyword)
{
    bool asserts = (compile->options.asserts & JSON_SCHEMA_ASSERT_FORMATS) ||
                   (node->resource->dialect.vocabularies & VOCABULARY_FORMAT_ASSERTION);

    if (keyword->value.kind != JSON_STRING) {
        json_schema_bad_value(compile, node, keyword, "a string");
        return;
    }
    if (asserts)
        keyword->format =
            format_find(json_string_copy(keyword->value), node->resource->dialect.draft);
    if (!keyword->format)
        keyword->kind = KEYWORD_ANNOTATION;
    keyword->applies = keyword->format ? JSON_KIND_BIT(JSON_STRING) : 0;
}

static void
compile_required(JsonSchemaCompile *compile, JsonSchemaNode *node, JsonSchemaKeyword *keyword)
{
    JsonWalk walk;

    if (keyword->value.kind != JSON_ARRAY) {
        json_schema_bad_value(compile, node, keyword, "an array of strings");
        return;
    }
    keyword->names = palloc(sizeof(JsonValue) * Max(json_count(keyword->value), 1));
    walk = json_walk_array(keyword->value);
    while (!json_walk_ended(&walk)) {
        JsonValue name = json_walk_next(&walk);

        CHECK_FOR_INTERRUPTS();
        if (name.kind != JSON_STRING) {
            json_schema_bad_value(compile, node, keyword, "an array of strings");
            return;
        }
        keyword->names[keyword->n++] = name;
    }
}

static bool
all_strings(JsonValue array)
{
    JsonWalk walk;

    if (array.kind != JSON_ARRAY)
        return false;
    walk = json_walk_array(array);
    while (!json_walk_ended(&walk))
        if (json_walk_next(&walk).kind != JSON_STRING)
            return false;
    return true;
}

static void
compile_dependent_required(JsonSchemaCompile *compile, JsonSchemaNode *node,
                           JsonSchemaKeyword *keyword)
{
    JsonWalk names;
    JsonWalk values;

    if (keyword->value.kind != JSON_OBJECT) {
        json_schema_bad_value(compile, node, keyword, "an object of arrays of strings");
        return;
    }
    keyword->names = palloc(sizeof(JsonValue) * Max(json_count(keyword->value), 1));
    keyword->lists = palloc(sizeof(JsonValue) * Max(json_count(keyword->value), 1));
    json_walk_object(keyword->value, &names, &values);
    while (!json_walk_ended(&names)) {
        CHECK_FOR_INTERRUPTS();
        keyword->names[keyword->n] = json_walk_next(&names);
        keyword->lists[keyword->n] = json_walk_next(&values);
        if (!all_strings(keyword->lists[keyword->n])) {
            json_schema_bad_value(compile, node, keyword, "an object of arrays of strings");
            return;
        }
        keyword->n++;
    }
}

void
json_schema_compile_assertion(JsonSchemaCompile *compile, JsonSchemaNode *node,
                              JsonSchemaKeyword *keyword)
{
    switch (keyword->kind) {
    case KEYWORD_TYPE: compile_type(compile, node, keyword); return;
    case KEYWORD_ENUM: compile_enum(compile, node, keyword); return;
    case KEYWORD_CONST: return;
    case KEYWORD_MIN_LENGTH:
    case KEYWORD_MAX_LENGTH:
    case KEYWORD_MIN_ITEMS:
    case KEYWORD_MAX_ITEMS:
    case KEYWORD_MIN_PROPERTIES:
    case KEYWORD_MAX_PROPERTIES: compile_count(compile, node, keyword); return;
    case KEYWORD_MINIMUM:
    case KEYWORD_MAXIMUM:
    case KEYWORD_EXCLUSIVE_MINIMUM:
    case KEYWORD_EXCLUSIVE_MAXIMUM:
    case KEYWORD_MULTIPLE_OF: compile_bound(compile, node, keyword); return;
    case KEYWORD_PATTERN: compile_pattern(compile, node, keyword); return;
    case KEYWORD_FORMAT: compile_format(compile, node, keyword); return;
    case KEYWORD_UNIQUE_ITEMS: compile_flag(compile, node, keyword); return;
    case KEYWORD_REQUIRED: compile_required(compile, node, keyword); return;
    case KEYWORD_DEPENDENT_REQUIRED: compile_dependent_required(compile, node, keyword); return;
    case APPLICATORS_IN_PLACE:
    case APPLICATORS_TO_MEMBERS:
    case APPLICATORS_TO_ITEMS:
    case APPLICATORS_TO_UNEVALUATED:
    case KEYWORD_ANNOTATION:
    case COMPILED_AWAY: break;
    }
    json_schema_stray_keyword(keyword);
}
