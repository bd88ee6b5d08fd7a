/*
 * json_schema/compare/compare.h: decides whether a JSON Schema accepts everything that another
 * one accepts.
 */
#ifndef CTMS_JSON_SCHEMA_COMPARE_H
#define CTMS_JSON_SCHEMA_COMPARE_H

#include "extension/json_schema/json_schema.h"

typedef enum JsonSchemaCompatibility {
    JSON_SCHEMA_COMPATIBLE,   /* proved: the new schema accepts all that the old one does */
    JSON_SCHEMA_INCOMPATIBLE, /* there is an example to the contrary */
    JSON_SCHEMA_UNKNOWN       /* neither a proof nor an example was found */
} JsonSchemaCompatibility;

typedef struct JsonSchemaComparison {
    JsonSchemaCompatibility compatibility;
    Jsonb *example; /* accepted by the old schema, rejected by the new; NULL unless incompatible */
} JsonSchemaComparison;

/*
 * Time and memory are limited for all schemas, and the comparison can be cancelled. An example is
 * always right, because both programs have judged it. It is the smallest one that was found. The
 * result is in the current memory context.
 */
extern JsonSchemaComparison
json_schema_compare(const JsonSchemaProgram *old_program, const JsonSchemaProgram *new_program);

#endif
