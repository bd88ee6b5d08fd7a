/*
 * json_schema/errors.c: turns the errors of an evaluation into a flat list.
 */
#include "extension/base/compat.h"

#include "miscadmin.h"

#include "extension/json_schema/internal.h"

/* The token after the last slash. */
static const char *
last_token(const char *pointer)
{
    const char *slash = strrchr(pointer, '/');

    return slash ? slash + 1 : pointer;
}

static JsonSchemaError *
error_of(const JsonSchemaUnit *unit, const JsonSchemaMessage *message)
{
    JsonSchemaError *error = palloc0(sizeof(JsonSchemaError));

    error->instance_location = unit->instance_location;
    error->message = message->text;
    error->keyword = message->keyword ? message->keyword : last_token(unit->keyword_location);
    error->keyword_location = unit->keyword_location;
    error->absolute_keyword_location = unit->absolute_keyword_location;
    if (message->keyword) {
        error->keyword_location = psprintf("%s/%s", unit->keyword_location, message->keyword);
        error->absolute_keyword_location =
            psprintf("%s/%s", unit->absolute_keyword_location, message->keyword);
    }
    return error;
}

static List *
flatten_unit(List *errors, const JsonSchemaUnit *unit)
{
    ListCell *cell;

    check_stack_depth();
    if (unit->valid)
        return errors;
    foreach (cell, unit->errors)
        errors = lappend(errors, error_of(unit, lfirst(cell)));
    foreach (cell, unit->children)
        errors = flatten_unit(errors, lfirst(cell));
    return errors;
}

List *
json_schema_flatten_errors(const JsonSchemaVerdict *verdict)
{
    return verdict->unit && !verdict->valid ? flatten_unit(NIL, verdict->unit) : NIL;
}
