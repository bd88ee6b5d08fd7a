/*
 * json_schema/output.c: writes a verdict in the output formats of the specification: flag, basic,
 * detailed and verbose of 2019-09 and 2020-12, and list and hierarchical of its successor.
 */
#include "extension/base/compat.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/json.h"

#include "extension/json_schema/output.h"

typedef JsonbParseState *Builder;

bool
json_schema_output_find(const char *name, JsonSchemaOutputFormat *format)
{
    static const struct {
        const char *name;
        JsonSchemaOutputFormat format;
    } formats[] = {
        {"flag", OUTPUT_FLAG},       {"basic", OUTPUT_BASIC}, {"detailed", OUTPUT_DETAILED},
        {"verbose", OUTPUT_VERBOSE}, {"list", OUTPUT_LIST},   {"hierarchical", OUTPUT_HIERARCHICAL},
    };

    for (int i = 0; i < (int)lengthof(formats); i++)
        if (strcmp(name, formats[i].name) == 0) {
            *format = formats[i].format;
            return true;
        }
    return false;
}

int
json_schema_output_flags(JsonSchemaOutputFormat format)
{
    return format == OUTPUT_VERBOSE ? JSON_SCHEMA_ANNOTATIONS | JSON_SCHEMA_VERBOSE
                                    : JSON_SCHEMA_ANNOTATIONS;
}

/* ---- building ------------------------------------------------------------------------ */

static void
put_string(Builder *builder, JsonbIteratorToken token, const char *text)
{
    JsonbValue value = {.type = jbvString};

    CHECK_FOR_INTERRUPTS();
    value.val.string.val = (char *)text;
    value.val.string.len = strlen(text);
    pushJsonbValue(builder, token, &value);
}

static void
put_member(Builder *builder, const char *key, const char *text)
{
    put_string(builder, WJB_KEY, key);
    put_string(builder, WJB_VALUE, text);
}

static void
put_valid(Builder *builder, bool valid)
{
    JsonbValue value = {.type = jbvBool};

    value.val.boolean = valid;
    put_string(builder, WJB_KEY, "valid");
    pushJsonbValue(builder, WJB_VALUE, &value);
}

static void
put_jsonb(Builder *builder, const char *key, Jsonb *jsonb)
{
    JsonbValue value;

    put_string(builder, WJB_KEY, key);
    if (jsonb->root.header & JB_FSCALAR) {
        JsonbExtractScalar(&jsonb->root, &value);
    } else {
        value.type = jbvBinary;
        value.val.binary.data = &jsonb->root;
        value.val.binary.len = VARSIZE(jsonb) - VARHDRSZ;
    }
    pushJsonbValue(builder, WJB_VALUE, &value);
}

static void
put_locations(Builder *builder, const JsonSchemaUnit *unit, const char *keyword)
{
    const char *separator = keyword ? "/" : "";

    put_member(builder, "keywordLocation",
               psprintf("%s%s%s", unit->keyword_location, separator, keyword ? keyword : ""));
    put_member(
        builder, "absoluteKeywordLocation",
        psprintf("%s%s%s", unit->absolute_keyword_location, separator, keyword ? keyword : ""));
    put_member(builder, "instanceLocation", unit->instance_location);
}

static void
put_message(Builder *builder, const JsonSchemaUnit *unit, const JsonSchemaMessage *message)
{
    pushJsonbValue(builder, WJB_BEGIN_OBJECT, NULL);
    put_valid(builder, message->text == NULL);
    put_locations(builder, unit, message->keyword);
    if (message->text)
        put_member(builder, "error", message->text);
    else
        put_jsonb(builder, "annotation", message->annotation);
    pushJsonbValue(builder, WJB_END_OBJECT, NULL);
}

static void
put_messages(Builder *builder, const JsonSchemaUnit *unit, List *messages)
{
    ListCell *cell;

    foreach (cell, messages)
        put_message(builder, unit, lfirst(cell));
}

/* ---- basic ---------------------------------------------------------------------------- */

/* All errors, or all annotations, at any depth. */
static void
put_flat(Builder *builder, const JsonSchemaUnit *unit, bool valid)
{
    ListCell *cell;

    check_stack_depth();
    if (unit->valid != valid)
        return;
    put_messages(builder, unit, valid ? unit->annotations : unit->errors);
    foreach (cell, unit->children)
        put_flat(builder, lfirst(cell), valid);
}

static void
put_basic(Builder *builder, const JsonSchemaVerdict *verdict)
{
    if (!verdict->unit)
        return;
    put_string(builder, WJB_KEY, verdict->valid ? "annotations" : "errors");
    pushJsonbValue(builder, WJB_BEGIN_ARRAY, NULL);
    put_flat(builder, verdict->unit, verdict->valid);
    pushJsonbValue(builder, WJB_END_ARRAY, NULL);
}

/* ---- detailed and verbose --------------------------------------------------------------- */

static void put_tree(Builder *builder, const JsonSchemaUnit *unit, bool all);

static void
put_children(Builder *builder, const JsonSchemaUnit *unit, bool all)
{
    ListCell *cell;

    put_messages(builder, unit, unit->errors);
    if (all || unit->valid)
        put_messages(builder, unit, unit->annotations);
    foreach (cell, unit->children) {
        const JsonSchemaUnit *child = lfirst(cell);

        if (!all && child->valid != unit->valid)
            continue;
        pushJsonbValue(builder, WJB_BEGIN_OBJECT, NULL);
        put_tree(builder, child, all);
        pushJsonbValue(builder, WJB_END_OBJECT, NULL);
    }
}

static void
put_tree(Builder *builder, const JsonSchemaUnit *unit, bool all)
{
    check_stack_depth();
    put_valid(builder, unit->valid);
    put_locations(builder, unit, NULL);
    put_string(builder, WJB_KEY, unit->valid ? "annotations" : "errors");
    pushJsonbValue(builder, WJB_BEGIN_ARRAY, NULL);
    put_children(builder, unit, all);
    pushJsonbValue(builder, WJB_END_ARRAY, NULL);
}

/* ---- list and hierarchical ---------------------------------------------------------------- */

static void
put_by_keyword(Builder *builder, const char *key, List *messages)
{
    ListCell *cell;

    if (!messages)
        return;
    put_string(builder, WJB_KEY, key);
    pushJsonbValue(builder, WJB_BEGIN_OBJECT, NULL);
    foreach (cell, messages) {
        const JsonSchemaMessage *message = lfirst(cell);
        const char *keyword = message->keyword ? message->keyword : "";

        if (message->text)
            put_member(builder, keyword, message->text);
        else
            put_jsonb(builder, keyword, message->annotation);
    }
    pushJsonbValue(builder, WJB_END_OBJECT, NULL);
}

static void
put_unit(Builder *builder, const JsonSchemaUnit *unit)
{
    put_valid(builder, unit->valid);
    put_member(builder, "evaluationPath", unit->keyword_location);
    put_member(builder, "schemaLocation", unit->absolute_keyword_location);
    put_member(builder, "instanceLocation", unit->instance_location);
    put_by_keyword(builder, "errors", unit->errors);
    put_by_keyword(builder, unit->valid ? "annotations" : "droppedAnnotations", unit->annotations);
}

static void
put_units(Builder *builder, const JsonSchemaUnit *unit)
{
    ListCell *cell;

    check_stack_depth();
    pushJsonbValue(builder, WJB_BEGIN_OBJECT, NULL);
    put_unit(builder, unit);
    pushJsonbValue(builder, WJB_END_OBJECT, NULL);
    foreach (cell, unit->children)
        put_units(builder, lfirst(cell));
}

static void
put_hierarchy(Builder *builder, const JsonSchemaUnit *unit)
{
    ListCell *cell;

    check_stack_depth();
    put_unit(builder, unit);
    if (!unit->children)
        return;
    put_string(builder, WJB_KEY, "details");
    pushJsonbValue(builder, WJB_BEGIN_ARRAY, NULL);
    foreach (cell, unit->children) {
        pushJsonbValue(builder, WJB_BEGIN_OBJECT, NULL);
        put_hierarchy(builder, lfirst(cell));
        pushJsonbValue(builder, WJB_END_OBJECT, NULL);
    }
    pushJsonbValue(builder, WJB_END_ARRAY, NULL);
}

static void
put_list(Builder *builder, const JsonSchemaVerdict *verdict)
{
    put_string(builder, WJB_KEY, "details");
    pushJsonbValue(builder, WJB_BEGIN_ARRAY, NULL);
    if (verdict->unit)
        put_units(builder, verdict->unit);
    pushJsonbValue(builder, WJB_END_ARRAY, NULL);
}

static void
put_verdict(Builder *builder, const JsonSchemaVerdict *verdict, JsonSchemaOutputFormat format)
{
    switch (format) {
    case OUTPUT_FLAG: put_valid(builder, verdict->valid); break;
    case OUTPUT_BASIC:
        put_valid(builder, verdict->valid);
        put_basic(builder, verdict);
        break;
    case OUTPUT_DETAILED:
    case OUTPUT_VERBOSE:
        if (verdict->unit)
            put_tree(builder, verdict->unit, format == OUTPUT_VERBOSE);
        else
            put_valid(builder, verdict->valid);
        break;
    case OUTPUT_LIST:
        put_valid(builder, verdict->valid);
        put_list(builder, verdict);
        break;
    case OUTPUT_HIERARCHICAL:
        if (verdict->unit)
            put_hierarchy(builder, verdict->unit);
        else
            put_valid(builder, verdict->valid);
        break;
    }
}

Jsonb *
json_schema_output(const JsonSchemaVerdict *verdict, JsonSchemaOutputFormat format)
{
    Builder builder = NULL;

    pushJsonbValue(&builder, WJB_BEGIN_OBJECT, NULL);
    put_verdict(&builder, verdict, format);
    if (verdict->is_cut)
        put_member(&builder, "note", "there are more errors than are listed");
    return JsonbValueToJsonb(pushJsonbValue(&builder, WJB_END_OBJECT, NULL));
}

/* ---- for DETAIL ------------------------------------------------------------------------- */

char *
json_schema_error_list_text(List *errors)
{
    StringInfoData text;
    ListCell *cell;

    initStringInfo(&text);
    appendStringInfoChar(&text, '[');
    foreach (cell, errors) {
        const JsonSchemaError *error = lfirst(cell);

        appendStringInfoString(&text, text.len > 1 ? ", {\"instanceLocation\": "
                                                   : "{\"instanceLocation\": ");
        escape_json(&text, error->instance_location);
        appendStringInfoString(&text, ", \"keyword\": ");
        escape_json(&text, error->keyword);
        appendStringInfoString(&text, ", \"keywordLocation\": ");
        escape_json(&text, error->keyword_location);
        appendStringInfoString(&text, ", \"error\": ");
        escape_json(&text, error->message);
        appendStringInfoChar(&text, '}');
    }
    appendStringInfoChar(&text, ']');
    return text.data;
}

char *
json_schema_errors_text(const JsonSchemaVerdict *verdict)
{
    return json_schema_error_list_text(json_schema_flatten_errors(verdict));
}
