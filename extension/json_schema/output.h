/*
 * json_schema/output.h: a verdict in the output formats of the specification.
 */
#ifndef CTMS_JSON_SCHEMA_OUTPUT_H
#define CTMS_JSON_SCHEMA_OUTPUT_H

#include "extension/json_schema/json_schema.h"

extern bool json_schema_output_known(const char *format);

/* What json_schema_evaluate must collect for a format. */
extern int json_schema_output_flags(const char *format);

/* The verdict in a format, as a new jsonb. */
extern Jsonb *json_schema_output(const JsonSchemaVerdict *verdict, const char *format);

/* The errors as JSON text: an array of {"instanceLocation", "keyword", "keywordLocation",
 * "error"}. */
extern char *json_schema_errors_text(const JsonSchemaVerdict *verdict);

/* The same for any List of JsonSchemaError. */
extern char *json_schema_error_list_text(List *errors);

#endif
