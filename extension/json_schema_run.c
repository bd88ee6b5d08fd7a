/*
 * json_schema_run.c: the verdict.
 */
#include "compat.h"

#include "json_schema_internal.h"

bool
json_schema_run(const JsonSchemaProgram *program, JsonValue instance)
{
    return json_schema_evaluate(program, instance, 0, 1).valid;
}
