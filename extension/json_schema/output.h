/*
 * json_schema/output.h: writes a verdict in the output formats of the specification.
 */
#ifndef CTMS_JSON_SCHEMA_OUTPUT_H
#define CTMS_JSON_SCHEMA_OUTPUT_H

#include "extension/json_schema/json_schema.h"

typedef enum JsonSchemaOutputFormat {
    OUTPUT_FLAG,
    OUTPUT_BASIC,
    OUTPUT_DETAILED,
    OUTPUT_VERBOSE,
    OUTPUT_LIST,
    OUTPUT_HIERARCHICAL
} JsonSchemaOutputFormat;

/* The format of that name; false when there is none. */
extern bool json_schema_output_find(const char *name, JsonSchemaOutputFormat *format);

/* The flags for json_schema_evaluate that a format needs. */
extern int json_schema_output_flags(JsonSchemaOutputFormat format);

/* The verdict in a format, as a new jsonb. */
extern Jsonb *json_schema_output(const JsonSchemaVerdict *verdict, JsonSchemaOutputFormat format);

/* The errors as JSON text: an array of {"instanceLocation", "keyword", "keywordLocation",
 * "error"}. */
extern char *json_schema_errors_text(const JsonSchemaVerdict *verdict);

/* The same for any List of JsonSchemaError. */
extern char *json_schema_error_list_text(List *errors);

#endif
