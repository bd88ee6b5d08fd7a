/* schema_words.c: see schema_words.h. */
#include "cli/schema_words.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "cli/output.h"
#include "common/buf.h"

/* Values of an enum that are listed. */
#define MOST_VALUES 30

/* ---- one field --------------------------------------------------------------------- */

/* "#/$defs/name" is followed within the schema, once; anything else is left to the reader. */
static const json_t *
follow(const json_t *root, const json_t *schema)
{
    static const char *const places[] = {"$defs", "definitions"};
    const char *reference = json_string_value(json_object_get(schema, "$ref"));

    for (size_t i = 0; reference && i < sizeof(places) / sizeof(*places); i++) {
        size_t length = strlen(places[i]);

        if (strncmp(reference, "#/", 2) == 0 && strncmp(reference + 2, places[i], length) == 0 &&
            reference[2 + length] == '/') {
            const json_t *target =
                json_object_get(json_object_get(root, places[i]), reference + 3 + length);

            return target ? target : schema;
        }
    }
    return schema;
}

static void
append_json(buf *words, const json_t *value)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY);

    buf_append_string(words, text ? text : "?");
    free(text);
}

static const char *
type_word(const char *type)
{
    static const struct {
        const char *type;
        const char *word;
    } words[] = {{"string", "text"},     {"integer", "a whole number"},
                 {"number", "a number"}, {"boolean", "true or false"},
                 {"array", "a list"},    {"object", "an object"},
                 {"null", "null"}};

    for (size_t i = 0; type && i < sizeof(words) / sizeof(*words); i++)
        if (strcmp(words[i].type, type) == 0)
            return words[i].word;
    return "any value";
}

static void
append_type(buf *words, const json_t *type)
{
    size_t i;
    json_t *each;

    if (!json_is_array(type))
        buf_append_string(words, type_word(json_string_value(type)));
    json_array_foreach(type, i, each)
    {
        buf_append_string(words, i > 0 ? " or " : "");
        buf_append_string(words, type_word(json_string_value(each)));
    }
}

static void
append_values(buf *words, const json_t *values)
{
    size_t i;
    json_t *value;

    buf_append_string(words, json_array_size(values) == 1 ? "" : "one of ");
    json_array_foreach(values, i, value)
    {
        if (i == MOST_VALUES) {
            buf_printf(words, " and %zu more", json_array_size(values) - i);
            return;
        }
        buf_append_string(words, i > 0 ? ", " : "");
        append_json(words, value);
    }
}

static void
append_limits(buf *words, const json_t *schema)
{
    static const struct {
        const char *keyword;
        const char *before;
        const char *after;
    } limits[] = {
        {"minLength", "at least ", " characters"},
        {"maxLength", "at most ", " characters"},
        {"pattern", "matching ", ""},
        {"format", "meant as ", ""},
        {"minimum", "at least ", ""},
        {"exclusiveMinimum", "more than ", ""},
        {"maximum", "at most ", ""},
        {"exclusiveMaximum", "less than ", ""},
        {"multipleOf", "a multiple of ", ""},
        {"minItems", "at least ", " items"},
        {"maxItems", "at most ", " items"},
    };

    for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
        const json_t *value = json_object_get(schema, limits[i].keyword);

        if (!value)
            continue;
        buf_printf(words, ", %s", limits[i].before);
        append_json(words, value);
        buf_append_string(words, limits[i].after);
    }
}

/* Keywords that restrict the value and have no words here. */
static bool
has_more(const json_t *schema)
{
    static const char *const keywords[] = {"$ref",
                                           "allOf",
                                           "anyOf",
                                           "oneOf",
                                           "not",
                                           "if",
                                           "properties",
                                           "required",
                                           "patternProperties",
                                           "additionalProperties",
                                           "propertyNames",
                                           "dependentRequired",
                                           "dependentSchemas",
                                           "dependencies",
                                           "prefixItems",
                                           "contains",
                                           "uniqueItems",
                                           "unevaluatedProperties",
                                           "unevaluatedItems",
                                           "minProperties",
                                           "maxProperties",
                                           "$dynamicRef"};

    for (size_t i = 0; i < sizeof(keywords) / sizeof(*keywords); i++)
        if (json_object_get(schema, keywords[i]))
            return true;
    return false;
}

static void
append_schema(buf *words, const json_t *root, const json_t *schema)
{
    const json_t *constant = json_object_get(schema, "const");
    const json_t *items = json_object_get(schema, "items");

    if (json_is_false(schema)) {
        buf_append_string(words, "not allowed");
        return;
    }
    if (constant)
        append_json(words, constant);
    else if (json_is_array(json_object_get(schema, "enum")))
        append_values(words, json_object_get(schema, "enum"));
    else
        append_type(words, json_object_get(schema, "type"));
    append_limits(words, schema);
    if (json_is_object(items) && !json_object_get(follow(root, items), "items")) {
        buf_append_string(words, ", each item ");
        append_schema(words, root, follow(root, items));
    }
    if (has_more(schema))
        buf_append_string(words, ", and more that the schema says");
}

/* ---- the object ---------------------------------------------------------------------- */

static bool
is_required(const json_t *schema, const char *name)
{
    size_t i;
    json_t *each;

    json_array_foreach(json_object_get(schema, "required"), i, each)
    {
        if (json_is_string(each) && strcmp(json_string_value(each), name) == 0)
            return true;
    }
    return false;
}

static void
print_field(FILE *stream, const json_t *root, const char *name, const json_t *field)
{
    const json_t *schema = follow(root, field);
    const char *description = json_string_value(json_object_get(schema, "description"));
    buf words = BUF_INIT;

    buf_printf(&words, "%s (%s): ", name, is_required(root, name) ? "required" : "optional");
    append_schema(&words, root, schema);
    if (description)
        buf_printf(&words, " - %s", description);
    output_text(stream, buf_text(&words));
    fputc('\n', stream);
    buf_free(&words);
}

void
schema_words_print(FILE *stream, const json_t *schema)
{
    json_t *properties = json_object_get(schema, "properties");
    const json_t *others = json_object_get(schema, "additionalProperties");
    json_t *field;
    const char *name;
    size_t i;

    json_object_foreach(properties, name, field) print_field(stream, schema, name, field);
    json_array_foreach(json_object_get(schema, "required"), i, field)
    {
        name = json_string_value(field);
        if (name && !json_object_get(properties, name))
            print_field(stream, schema, name, json_true());
    }
    if (json_is_false(others) || json_is_false(schema))
        fputs("Other fields are refused.\n", stream);
    else
        fputs(json_is_object(others) ? "Other fields are allowed if they fit the schema.\n"
                                     : "Other fields are allowed.\n",
              stream);
}

/* ---- an example ---------------------------------------------------------------------- */

static json_t *
example_text(const json_t *schema)
{
    char text[] = "aaaaaaaaaaaaaaaaaaaaaaaa";
    json_int_t least = json_integer_value(json_object_get(schema, "minLength"));
    const json_t *most = json_object_get(schema, "maxLength");
    json_int_t length = least > 4 ? least : 4;

    if (json_is_integer(most) && json_integer_value(most) < length)
        length = json_integer_value(most);
    if (length < 0 || length > (json_int_t)strlen(text))
        length = (json_int_t)strlen(text);
    text[length] = '\0';
    return json_string(text);
}

/* A new value; most often one that the schema accepts. */
static json_t *
example_of(const json_t *schema)
{
    const json_t *type = json_object_get(schema, "type");
    const json_t *known = json_object_get(schema, "const");
    const char *word;

    if (!known)
        known = json_array_get(json_object_get(schema, "examples"), 0);
    if (!known)
        known = json_object_get(schema, "default");
    if (!known)
        known = json_array_get(json_object_get(schema, "enum"), 0);
    if (known)
        return json_deep_copy(known);
    word = json_string_value(json_is_array(type) ? json_array_get(type, 0) : type);
    if (!word || strcmp(word, "string") == 0)
        return example_text(schema);
    if (strcmp(word, "integer") == 0 || strcmp(word, "number") == 0) {
        known = json_object_get(schema, "minimum");
        return known ? json_deep_copy(known) : json_integer(1);
    }
    if (strcmp(word, "boolean") == 0)
        return json_true();
    if (strcmp(word, "array") == 0)
        return json_array();
    return strcmp(word, "object") == 0 ? json_object() : json_null();
}

json_t *
schema_words_example(const json_t *schema)
{
    json_t *properties = json_object_get(schema, "properties");
    const json_t *others = json_object_get(schema, "additionalProperties");
    json_t *example = json_object();
    json_t *field;
    const char *name;
    size_t i;

    json_array_foreach(json_object_get(schema, "required"), i, field)
    {
        if (json_is_string(field))
            json_object_set_new(example, json_string_value(field),
                                example_of(follow(schema, others)));
    }
    json_object_foreach(properties, name, field)
    {
        if (!json_is_false(field))
            json_object_set_new(example, name, example_of(follow(schema, field)));
    }
    return example;
}
