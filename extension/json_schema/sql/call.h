/*
 * json_schema/sql/call.h: reads the arguments of the SQL functions: options, and the schema,
 * whose program is kept with the call site.
 */
#ifndef CTMS_JSON_SCHEMA_CALL_H
#define CTMS_JSON_SCHEMA_CALL_H

#include "fmgr.h"
#include "extension/json_schema/sql/cache.h"

/* What a call site keeps. */
typedef struct JsonSchemaSite {
    JsonSchemaCached *cached;
    Datum constant;      /* the schema, if nothing can change it during the query; otherwise 0 */
    bool is_constant;    /* schema and options are constant: known by the address of the schema */
    bool schema_is_text; /* of type json or text */
    bool instance_is_text;
} JsonSchemaSite;

/* Finds the program when the site does not have it yet. */
extern const JsonSchemaProgram *
json_schema_call_find(FunctionCallInfo fcinfo, int schema_arg, int options_arg);

/*
 * The program of the schema in argument "schema_arg", with the options in argument "options_arg"
 * if the function has that many arguments (-1: it never has options).
 */
static inline const JsonSchemaProgram *
json_schema_call_program(FunctionCallInfo fcinfo, int schema_arg, int options_arg)
{
    const JsonSchemaSite *site = fcinfo->flinfo->fn_extra;

    if (likely(site && site->constant == PG_GETARG_DATUM(schema_arg) && !site->cached->is_stale))
        return site->cached->program;
    return json_schema_call_find(fcinfo, schema_arg, options_arg);
}

/* An argument of type jsonb, json or text as a jsonb for reading, detoasted if necessary. */
extern Jsonb *json_schema_call_value(FunctionCallInfo fcinfo, int arg);

/* Reads {"draft": ..., "assertFormats": ...}; a wrong option is an error. */
extern void json_schema_call_options(const Jsonb *options, int *draft, int *asserts);

/* How many errors the functions list at most. */
#define JSON_SCHEMA_ERROR_LIMIT 1000

#endif
