/*
 * json_schema/sql/call.h: arguments of the SQL functions: the schema's program, kept with the
 * call site, and options.
 */
#ifndef CTMS_JSON_SCHEMA_CALL_H
#define CTMS_JSON_SCHEMA_CALL_H

#include "fmgr.h"
#include "extension/json_schema/sql/cache.h"

/* What a call site keeps. */
typedef struct JsonSchemaSite {
    JsonSchemaCached *cached;
    Datum constant;      /* the schema, when nothing can change it under the call; else 0 */
    bool is_constant;    /* they are: the schema is known by its address */
    bool schema_is_text; /* of type json or text */
    bool instance_is_text;
} JsonSchemaSite;

/* Where the site does not know it already. */
extern const JsonSchemaProgram *
json_schema_call_find(FunctionCallInfo fcinfo, int schema_arg, int options_arg);

/* The program of the schema in argument "schema_arg", under the options in argument
 * "options_arg" when the function has that one (-1: it never has). */
static inline const JsonSchemaProgram *
json_schema_call_program(FunctionCallInfo fcinfo, int schema_arg, int options_arg)
{
    const JsonSchemaSite *site = fcinfo->flinfo->fn_extra;

    if (likely(site && site->constant == PG_GETARG_DATUM(schema_arg) && !site->cached->is_stale))
        return site->cached->program;
    return json_schema_call_find(fcinfo, schema_arg, options_arg);
}

/* An argument of type jsonb, json or text as a jsonb to read, detoasted when needed. */
extern Jsonb *json_schema_call_value(FunctionCallInfo fcinfo, int arg);

/* Reads {"draft": ..., "assertFormats": ...}; a wrong option is an error. */
extern void json_schema_call_options(const Jsonb *options, int *draft, int *asserts);

/* How many errors the functions list at most. */
#define JSON_SCHEMA_ERROR_LIMIT 1000

#endif
