/*
 * json_schema/assert.c: checks the keywords that need nothing but the instance, and words their
 * errors. The messages contain values of the schema, but never values of the instance.
 */
#include "extension/base/compat.h"

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"

#include "extension/json/hash.h"
#include "extension/json/number.h"
#include "extension/json/text.h"
#include "extension/json_schema/format/format.h"
#include "extension/json_schema/internal.h"

/* Of texts and lists of the schema, messages show about this much. */
#define SHOWN_BYTES 100

static bool
has_type(const JsonSchemaKeyword *keyword, JsonValue instance)
{
    if (keyword->types & JSON_KIND_BIT(instance.kind))
        return true;
    return instance.kind == JSON_NUMBER && (keyword->types & TYPE_INTEGER) &&
           json_number_is_integer(instance);
}

static bool
is_listed(const JsonSchemaKeyword *keyword, JsonValue instance)
{
    if (keyword->set)
        return json_set_has(keyword->set, instance);
    for (int i = 0; i < keyword->n; i++)
        if (json_values_equal(keyword->names[i], instance))
            return true;
    return false;
}

/* The first name that the object does not have; NULL when it has all of them. */
static const JsonValue *
missing_name(const JsonSchemaKeyword *keyword, JsonValue object)
{
    JsonValue value;

    for (int i = 0; i < keyword->n; i++)
        if (!json_object_get(object, keyword->names[i].data, keyword->names[i].length, &value))
            return &keyword->names[i];
    return NULL;
}

static int
unmet_dependency(const JsonSchemaKeyword *keyword, JsonValue object)
{
    JsonValue value;

    for (int i = 0; i < keyword->n; i++)
        if (json_object_get(object, keyword->names[i].data, keyword->names[i].length, &value) &&
            !json_object_has_names(object, keyword->lists[i]))
            return i;
    return -1;
}

bool
json_schema_assertion_holds(const JsonSchemaKeyword *keyword, JsonValue instance)
{
    JsonValue bound = keyword->value;

    switch (keyword->kind) {
    case KEYWORD_TYPE: return has_type(keyword, instance);
    case KEYWORD_ENUM: return is_listed(keyword, instance);
    case KEYWORD_CONST: return json_values_equal(bound, instance);
    case KEYWORD_MIN_LENGTH:
        return instance.length >= keyword->count &&
               json_string_characters(instance.data, instance.length) >= keyword->count;
    case KEYWORD_MAX_LENGTH:
        return instance.length <= keyword->count ||
               json_string_characters(instance.data, instance.length) <= keyword->count;
    case KEYWORD_PATTERN:
        return regex_matches(keyword->patterns[0], instance.data, instance.length);
    case KEYWORD_FORMAT: return format_holds(keyword->format, instance);
    case KEYWORD_MINIMUM: return json_number_compare(instance, bound) >= 0;
    case KEYWORD_MAXIMUM: return json_number_compare(instance, bound) <= 0;
    case KEYWORD_EXCLUSIVE_MINIMUM: return json_number_compare(instance, bound) > 0;
    case KEYWORD_EXCLUSIVE_MAXIMUM: return json_number_compare(instance, bound) < 0;
    case KEYWORD_MULTIPLE_OF: return json_number_is_multiple(instance, bound);
    case KEYWORD_MIN_ITEMS:
    case KEYWORD_MIN_PROPERTIES: return json_count(instance) >= keyword->count;
    case KEYWORD_MAX_ITEMS:
    case KEYWORD_MAX_PROPERTIES: return json_count(instance) <= keyword->count;
    case KEYWORD_UNIQUE_ITEMS:
        return keyword->value.kind == JSON_FALSE || json_items_are_unique(instance);
    case KEYWORD_REQUIRED: return missing_name(keyword, instance) == NULL;
    case KEYWORD_DEPENDENT_REQUIRED: return unmet_dependency(keyword, instance) < 0;
    case APPLICATORS_IN_PLACE:
    case APPLICATORS_TO_MEMBERS:
    case APPLICATORS_TO_ITEMS:
    case APPLICATORS_TO_UNEVALUATED:
    case KEYWORD_ANNOTATION:
    case COMPILED_AWAY: break;
    }
    json_schema_stray_keyword(keyword);
}

/* ---- words -------------------------------------------------------------------- */

static char *
type_message(const JsonSchemaKeyword *keyword)
{
    static const struct {
        uint32 bit;
        const char *name;
    } names[] = {
        {JSON_KIND_BIT(JSON_NULL), "null"},
        {JSON_KIND_BIT(JSON_TRUE), "a boolean"},
        {JSON_KIND_BIT(JSON_STRING), "a string"},
        {JSON_KIND_BIT(JSON_NUMBER), "a number"},
        {TYPE_INTEGER, "an integer"},
        {JSON_KIND_BIT(JSON_ARRAY), "an array"},
        {JSON_KIND_BIT(JSON_OBJECT), "an object"},
    };
    StringInfoData text;
    int said = 0;

    initStringInfo(&text);
    appendStringInfoString(&text, "must be ");
    for (int i = 0; i < (int)lengthof(names); i++)
        if (keyword->types & names[i].bit)
            appendStringInfo(&text, "%s%s", said++ ? " or " : "", names[i].name);
    return text.data;
}

/* Appends the name if the object has no such member. */
static void
append_missing(StringInfo text, JsonValue object, JsonValue name)
{
    JsonValue value;

    if (!json_object_get(object, name.data, name.length, &value))
        appendStringInfo(text, "%s \"%.*s\"", text->data[text->len - 1] == '"' ? "," : "",
                         (int)name.length, name.data);
}

static char *
required_message(const JsonSchemaKeyword *keyword, JsonValue object)
{
    StringInfoData text;

    initStringInfo(&text);
    appendStringInfoString(&text, "lacks");
    for (int i = 0; i < keyword->n; i++)
        append_missing(&text, object, keyword->names[i]);
    return text.data;
}

char *
json_schema_dependency_message(const JsonSchemaKeyword *keyword, int i, JsonValue object)
{
    JsonWalk names = json_walk_array(keyword->lists[i]);
    StringInfoData text;

    initStringInfo(&text);
    appendStringInfoString(&text, "lacks");
    while (!json_walk_ended(&names))
        append_missing(&text, object, json_walk_next(&names));
    appendStringInfo(&text, ", which \"%.*s\" requires", (int)keyword->names[i].length,
                     keyword->names[i].data);
    return text.data;
}

/* A number of the schema, cut if it is absurdly long. */
static char *
number_text(JsonValue number)
{
    char *text = numeric_normalize((Numeric)number.data);

    if (strlen(text) > 60)
        strcpy(text + 57, "...");
    return text;
}

/* A text of the schema as a JSON string, cut after SHOWN_BYTES. */
static void
append_text(StringInfo text, JsonValue string)
{
    int length = pg_mbcliplen(string.data, (int)string.length, SHOWN_BYTES);

    json_text_write(text, string.data, length);
    if (length < (int)string.length)
        appendStringInfoString(text, "...");
}

static void
append_value(StringInfo text, JsonValue value)
{
    switch (value.kind) {
    case JSON_NULL: appendStringInfoString(text, "null"); break;
    case JSON_FALSE: appendStringInfoString(text, "false"); break;
    case JSON_TRUE: appendStringInfoString(text, "true"); break;
    case JSON_NUMBER: appendStringInfoString(text, number_text(value)); break;
    case JSON_STRING: append_text(text, value); break;
    case JSON_ARRAY: appendStringInfoString(text, "a given array"); break;
    case JSON_OBJECT: appendStringInfoString(text, "a given object"); break;
    }
}

static char *
values_message(const JsonValue *values, int n)
{
    StringInfoData text;

    initStringInfo(&text);
    appendStringInfoString(&text, n == 1 ? "must be " : "must be one of ");
    if (n == 0)
        appendStringInfoString(&text, "no values");
    for (int i = 0; i < n; i++) {
        if (text.len > SHOWN_BYTES) {
            appendStringInfo(&text, " and %d more", n - i);
            break;
        }
        appendStringInfoString(&text, i > 0 ? ", " : "");
        append_value(&text, values[i]);
    }
    return text.data;
}

static char *
pattern_message(const JsonSchemaKeyword *keyword)
{
    StringInfoData text;

    initStringInfo(&text);
    appendStringInfoString(&text, "must match the pattern ");
    append_text(&text, keyword->value);
    return text.data;
}

static const char *
plural(int64 count, const char *one, const char *many)
{
    return count == 1 ? one : many;
}

static char *
least_message(int64 n, const char *one, const char *many)
{
    return psprintf("must have at least " INT64_FORMAT " %s", n, plural(n, one, many));
}

static char *
most_message(int64 n, const char *one, const char *many)
{
    return psprintf("must have at most " INT64_FORMAT " %s", n, plural(n, one, many));
}

char *
json_schema_assertion_message(const JsonSchemaKeyword *keyword, JsonValue instance)
{
    switch (keyword->kind) {
    case KEYWORD_TYPE: return type_message(keyword);
    case KEYWORD_ENUM: return values_message(keyword->names, keyword->n);
    case KEYWORD_CONST: return values_message(&keyword->value, 1);
    case KEYWORD_PATTERN: return pattern_message(keyword);
    case KEYWORD_FORMAT:
        return psprintf("must be of the format \"%.*s\"", (int)keyword->value.length,
                        keyword->value.data);
    case KEYWORD_MINIMUM: return psprintf("must be at least %s", number_text(keyword->value));
    case KEYWORD_MAXIMUM: return psprintf("must be at most %s", number_text(keyword->value));
    case KEYWORD_EXCLUSIVE_MINIMUM:
        return psprintf("must be greater than %s", number_text(keyword->value));
    case KEYWORD_EXCLUSIVE_MAXIMUM:
        return psprintf("must be less than %s", number_text(keyword->value));
    case KEYWORD_MULTIPLE_OF:
        return psprintf("must be a multiple of %s", number_text(keyword->value));
    case KEYWORD_UNIQUE_ITEMS: return pstrdup("must not have two equal items");
    case KEYWORD_REQUIRED: return required_message(keyword, instance);
    case KEYWORD_DEPENDENT_REQUIRED:
        return json_schema_dependency_message(keyword, unmet_dependency(keyword, instance),
                                              instance);
    case KEYWORD_MIN_LENGTH: return least_message(keyword->count, "character", "characters");
    case KEYWORD_MAX_LENGTH: return most_message(keyword->count, "character", "characters");
    case KEYWORD_MIN_ITEMS: return least_message(keyword->count, "item", "items");
    case KEYWORD_MAX_ITEMS: return most_message(keyword->count, "item", "items");
    case KEYWORD_MIN_PROPERTIES: return least_message(keyword->count, "property", "properties");
    case KEYWORD_MAX_PROPERTIES: return most_message(keyword->count, "property", "properties");
    case APPLICATORS_IN_PLACE:
    case APPLICATORS_TO_MEMBERS:
    case APPLICATORS_TO_ITEMS:
    case APPLICATORS_TO_UNEVALUATED:
    case KEYWORD_ANNOTATION:
    case COMPILED_AWAY: break;
    }
    json_schema_stray_keyword(keyword);
}
