/*
 * json_schema/output.c: writes a verdict in the output formats of the specification: flag, basic,
 * detailed and verbose of 2019-09 and 2020-12, and list and hierarchical of its successor.
 */
#include "extension/base/compat.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/memutils.h"

#include "extension/base/memory_limit.h"
#include "extension/json/from_text.h"
#include "extension/json/text.h"
#include "extension/json_schema/output.h"

/*
 * The output as JSON text, which becomes jsonb at the end. A tree of JsonbValues would take ten
 * times the memory.
 */
typedef struct Builder {
    StringInfoData text;
    MemoryUse memory;
    MemoryContext scratch; /* emptied after each annotation */
} Builder;

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

/* Begins a member, or an item if the key is NULL. */
static void
put_key(Builder *builder, const char *key)
{
    StringInfo text = &builder->text;
    char before = text->data[text->len - 1];

    CHECK_FOR_INTERRUPTS();
    memory_use_check(&builder->memory, 0);
    if (before != '{' && before != '[')
        appendStringInfoChar(text, ',');
    if (!key)
        return;
    json_text_write(text, key, (int)strlen(key));
    appendStringInfoChar(text, ':');
}

static void
put_member(Builder *builder, const char *key, const char *value)
{
    put_key(builder, key);
    json_text_write(&builder->text, value, (int)strlen(value));
}

static void
put_valid(Builder *builder, bool valid)
{
    put_key(builder, "valid");
    appendStringInfoString(&builder->text, valid ? "true" : "false");
}

static void
put_jsonb(Builder *builder, const char *key, Jsonb *jsonb)
{
    MemoryContext caller;

    put_key(builder, key);
    caller = MemoryContextSwitchTo(builder->scratch);
    (void)JsonbToCString(&builder->text, &jsonb->root, (int)VARSIZE(jsonb));
    MemoryContextSwitchTo(caller);
    MemoryContextReset(builder->scratch);
}

/* Begins a container as a member, or as an item if the key is NULL. */
static void
begin(Builder *builder, const char *key, char bracket)
{
    put_key(builder, key);
    appendStringInfoChar(&builder->text, bracket);
}

static void
end(Builder *builder, char bracket)
{
    appendStringInfoChar(&builder->text, bracket);
}

/* A location, followed by the keyword unless that is NULL. */
static void
put_location(Builder *builder, const char *key, const char *location, const char *keyword)
{
    char *both;

    if (!keyword) {
        put_member(builder, key, location);
        return;
    }
    both = psprintf("%s/%s", location, keyword);
    put_member(builder, key, both);
    pfree(both);
}

static void
put_locations(Builder *builder, const JsonSchemaUnit *unit, const char *keyword)
{
    put_location(builder, "keywordLocation", unit->keyword_location, keyword);
    put_location(builder, "absoluteKeywordLocation", unit->absolute_keyword_location, keyword);
    put_member(builder, "instanceLocation", unit->instance_location);
}

static void
put_message(Builder *builder, const JsonSchemaUnit *unit, const JsonSchemaMessage *message)
{
    begin(builder, NULL, '{');
    put_valid(builder, message->text == NULL);
    put_locations(builder, unit, message->keyword);
    if (message->text)
        put_member(builder, "error", message->text);
    else
        put_jsonb(builder, "annotation", message->annotation);
    end(builder, '}');
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
    begin(builder, verdict->valid ? "annotations" : "errors", '[');
    put_flat(builder, verdict->unit, verdict->valid);
    end(builder, ']');
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
        begin(builder, NULL, '{');
        put_tree(builder, child, all);
        end(builder, '}');
    }
}

static void
put_tree(Builder *builder, const JsonSchemaUnit *unit, bool all)
{
    check_stack_depth();
    put_valid(builder, unit->valid);
    put_locations(builder, unit, NULL);
    begin(builder, unit->valid ? "annotations" : "errors", '[');
    put_children(builder, unit, all);
    end(builder, ']');
}

/* ---- list and hierarchical ---------------------------------------------------------------- */

static void
put_by_keyword(Builder *builder, const char *key, List *messages)
{
    ListCell *cell;

    if (!messages)
        return;
    begin(builder, key, '{');
    foreach (cell, messages) {
        const JsonSchemaMessage *message = lfirst(cell);
        const char *keyword = message->keyword ? message->keyword : "";

        if (message->text)
            put_member(builder, keyword, message->text);
        else
            put_jsonb(builder, keyword, message->annotation);
    }
    end(builder, '}');
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
    begin(builder, NULL, '{');
    put_unit(builder, unit);
    end(builder, '}');
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
    begin(builder, "details", '[');
    foreach (cell, unit->children) {
        begin(builder, NULL, '{');
        put_hierarchy(builder, lfirst(cell));
        end(builder, '}');
    }
    end(builder, ']');
}

static void
put_list(Builder *builder, const JsonSchemaVerdict *verdict)
{
    begin(builder, "details", '[');
    if (verdict->unit)
        put_units(builder, verdict->unit);
    end(builder, ']');
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
    Builder builder = {.memory = memory_use_begin()};
    Jsonb *output;

    builder.scratch = AllocSetContextCreate(CurrentMemoryContext, "JSON Schema annotation",
                                            ALLOCSET_DEFAULT_SIZES);
    initStringInfo(&builder.text);
    appendStringInfoChar(&builder.text, '{');
    put_verdict(&builder, verdict, format);
    if (verdict->is_cut)
        put_member(&builder, "note", "there are more errors than are listed");
    end(&builder, '}');
    MemoryContextDelete(builder.scratch);
    output = json_from_text(builder.text.data, builder.text.len);
    pfree(builder.text.data);
    return output;
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
