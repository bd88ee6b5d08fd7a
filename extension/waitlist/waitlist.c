/*
 * waitlist/waitlist.c: checks the fields of a waitlist with the JSON Schema that is stored for
 * its name.
 */
#include "extension/base/compat.h"

#include "extension/json_schema/json_schema.h"
#include "extension/waitlist/schema.h"
#include "extension/waitlist/waitlist.h"

#define ERROR_LIMIT 100

static WaitlistFieldError *
new_error(const char *instance_location, const char *keyword, const char *keyword_location,
          const char *message)
{
    WaitlistFieldError *error = palloc(sizeof(WaitlistFieldError));

    error->instance_location = pstrdup(instance_location);
    error->keyword = pstrdup(keyword);
    error->keyword_location = pstrdup(keyword_location);
    error->message = pstrdup(message);
    return error;
}

static List *
explain(const JsonSchemaProgram *program, JsonValue fields)
{
    JsonSchemaVerdict verdict = json_schema_evaluate(program, fields, 0, ERROR_LIMIT);
    List *errors = NIL;
    ListCell *cell;

    foreach (cell, json_schema_flatten_errors(&verdict)) {
        const JsonSchemaError *error = lfirst(cell);

        errors = lappend(errors, new_error(error->instance_location, error->keyword,
                                           error->keyword_location, error->message));
    }
    return errors;
}

bool
waitlist_check_fields(const char *name, JsonbContainer *fields, List **errors)
{
    const JsonSchemaProgram *program = waitlist_schema_program(name);
    JsonValue value = json_value_of_container(fields);

    if (fields->header & JB_FSCALAR) {
        JsonWalk walk = json_walk_array(value);

        value = json_walk_next(&walk);
    }
    if (program && json_schema_run(program, value))
        return true;
    if (errors && program)
        *errors = explain(program, value);
    else if (errors)
        *errors = list_make1(new_error("", "", "", "there is no schema for this waitlist"));
    return false;
}
