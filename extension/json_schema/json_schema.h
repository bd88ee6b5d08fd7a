/*
 * json_schema/json_schema.h: JSON Schema, drafts 4 to 2020-12, over jsonb.
 *
 * A schema is compiled once into a program that lives in a memory context of its own; the
 * program then judges any number of instances. json_schema_run gives the verdict and stops
 * at the first failure; json_schema_evaluate goes over everything and explains. Neither
 * reads the catalog, so a program is not freed under a run.
 *
 * Nothing in a message is a value of the instance; locations name its keys.
 */
#ifndef CTMS_JSON_SCHEMA_H
#define CTMS_JSON_SCHEMA_H

#include "extension/base/compat.h"

#include "nodes/pg_list.h"

#include "extension/json/value.h"

typedef struct JsonSchemaProgram JsonSchemaProgram;

/* Fetches the document that a reference asks for: a jsonb that lives at least until the
 * compilation ends, or NULL when there is none of that URI. */
typedef const Jsonb *(*JsonSchemaLoader)(const char *uri);

/* Annotations that assert, whatever the vocabulary says. */
#define JSON_SCHEMA_ASSERT_FORMATS 0x01
#define JSON_SCHEMA_ASSERT_CONTENT 0x02 /* contentEncoding, contentMediaType from draft 7 on */

typedef struct JsonSchemaOptions {
    int draft;               /* without "$schema": 4, 6, 7, 2019 or 2020; 0 means 2020 */
    int asserts;             /* JSON_SCHEMA_ASSERT_... */
    JsonSchemaLoader loader; /* NULL: built-in documents only */
} JsonSchemaOptions;

/* What is wrong with a schema, and where. */
typedef struct JsonSchemaProblem {
    char *location; /* "uri#pointer" */
    char *keyword;  /* may be NULL */
    char *message;
} JsonSchemaProblem;

/* Compiles into a new child of the parent context. The schema is copied. With problems
 * NULL, a schema that is not valid is an error (22023); else they are listed there, and
 * NULL is returned when there are any. */
extern JsonSchemaProgram *json_schema_compile(const Jsonb *schema, const JsonSchemaOptions *options,
                                              MemoryContext parent, List **problems);
extern void json_schema_free(JsonSchemaProgram *program);

/* The draft of an option's value such as "2019-09"; 0 when there is none of that name. */
extern int json_schema_find_draft(JsonValue name);

/* Bytes that the program takes. */
extern Size json_schema_program_size(const JsonSchemaProgram *program);

/* Whether documents beside the built-in ones were read: they may change. */
extern bool json_schema_uses_loader(const JsonSchemaProgram *program);

/* The verdict. */
extern bool json_schema_run(const JsonSchemaProgram *program, JsonValue instance);

/* One error or annotation of a unit. */
typedef struct JsonSchemaMessage {
    const char *keyword; /* NULL for the boolean schema false */
    const char *text;    /* error; NULL for an annotation */
    Jsonb *annotation;
} JsonSchemaMessage;

/* What one subschema says about one instance. */
typedef struct JsonSchemaUnit {
    bool valid;
    const char *keyword_location; /* path of the evaluation, through references */
    const char *absolute_keyword_location;
    const char *instance_location;
    List *errors;      /* JsonSchemaMessage */
    List *annotations; /* JsonSchemaMessage */
    List *children;    /* JsonSchemaUnit */
} JsonSchemaUnit;

typedef struct JsonSchemaVerdict {
    bool valid;
    bool is_cut;          /* there are more errors than the limit */
    JsonSchemaUnit *unit; /* NULL when there is nothing to say */
} JsonSchemaVerdict;

#define JSON_SCHEMA_ANNOTATIONS 0x01 /* collect annotations too */
#define JSON_SCHEMA_VERBOSE 0x02     /* keep units that do not matter for the verdict */

/* The whole story, in the current memory context. */
extern JsonSchemaVerdict json_schema_evaluate(const JsonSchemaProgram *program, JsonValue instance,
                                              int flags, int error_limit);

/* One failure, flattened. */
typedef struct JsonSchemaError {
    const char *keyword_location;
    const char *absolute_keyword_location;
    const char *instance_location;
    const char *keyword;
    const char *message;
} JsonSchemaError;

/* The errors of a verdict as a List of JsonSchemaError, in the order of the evaluation. */
extern List *json_schema_flatten_errors(const JsonSchemaVerdict *verdict);

#endif
