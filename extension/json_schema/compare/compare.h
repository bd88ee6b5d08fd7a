/*
 * json_schema/compare/compare.h: whether everything that one JSON Schema accepts, another accepts
 * too.
 */
#ifndef CTMS_JSON_SCHEMA_COMPARE_H
#define CTMS_JSON_SCHEMA_COMPARE_H

#include "extension/json_schema/json_schema.h"

typedef enum JsonSchemaCompatibility {
    JSON_SCHEMA_COMPATIBLE,   /* proved: the new one accepts what the old one does */
    JSON_SCHEMA_INCOMPATIBLE, /* there is an example to the contrary */
    JSON_SCHEMA_UNKNOWN       /* neither a proof nor an example was found */
} JsonSchemaCompatibility;

typedef struct JsonSchemaComparison {
    JsonSchemaCompatibility compatibility;
    Jsonb *example; /* accepted by the old, refused by the new; NULL unless incompatible */
} JsonSchemaComparison;

/*
 * Time and memory are bounded whatever the schemas are, and both can be cancelled. An
 * example has been judged by the programs themselves, so it is always right; it is the
 * smallest of those that were found. The result is in the current memory context.
 */
extern JsonSchemaComparison
json_schema_compare(const JsonSchemaProgram *old_program, const JsonSchemaProgram *new_program);

#endif
