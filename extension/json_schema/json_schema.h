/*
 * json_schema/json_schema.h: JSON Schema, drafts 4 to 2020-12, for jsonb.
 *
 * A schema is compiled once into a program, which lives in a memory context of its own. The
 * program then judges any number of instances. json_schema_run gives the verdict and stops at the
 * first failure. json_schema_evaluate evaluates everything and explains the verdict. Neither of
 * them reads the catalog, so a program cannot be freed during a run.
 *
 * Messages contain no values of the instance, but locations contain its keys.
 */
#ifndef CTMS_JSON_SCHEMA_H
#define CTMS_JSON_SCHEMA_H

#include "extension/base/compat.h"

#include "nodes/pg_list.h"

#include "extension/json/value.h"

typedef struct JsonSchemaProgram JsonSchemaProgram;

/*
 * Returns the document to which a reference points: a jsonb that lives at least until the
 * compilation ends, or NULL when there is none with that URI.
 */
typedef const Jsonb *(*JsonSchemaLoader)(const char *uri);

/* Keywords that assert even if the vocabulary makes them annotations. */
#define JSON_SCHEMA_ASSERT_FORMATS 0x01
#define JSON_SCHEMA_ASSERT_CONTENT 0x02 /* contentEncoding, contentMediaType from draft 7 on */

typedef struct JsonSchemaOptions {
    int draft;               /* used without "$schema": 4, 6, 7, 2019 or 2020; 0 means 2020 */
    int asserts;             /* JSON_SCHEMA_ASSERT_... */
    JsonSchemaLoader loader; /* NULL: built-in documents only */
    bool is_stored;          /* it was checked when it was stored: its metaschema is not asked */
    bool is_whole;           /* definitions that nothing refers to are compiled too */
} JsonSchemaOptions;

/* What is wrong with a schema, and where. */
typedef struct JsonSchemaProblem {
    char *location; /* "uri#pointer" */
    char *keyword;  /* may be NULL */
    char *message;
} JsonSchemaProblem;

/*
 * Compiles into a new child of the parent context. The schema is copied. If "problems" is NULL, a
 * schema that is not valid is an error (22023). Otherwise the problems are listed there, and NULL
 * is returned if there are any.
 */
extern JsonSchemaProgram *json_schema_compile(const Jsonb *schema, const JsonSchemaOptions *options,
                                              MemoryContext parent, List **problems);
extern void json_schema_free(JsonSchemaProgram *program);

/*
 * Raises an error (22023) if a document cannot be a schema: if the metaschema that it names does
 * not accept it or, when it names none, no draft's does. Its references are not looked at, nor is a
 * document with a metaschema that is not known: it cannot be used before that is registered.
 */
extern void
json_schema_check_document(const char *uri, const Jsonb *document, JsonSchemaLoader loader);

/* A keyword that does nothing where it is. */
typedef struct JsonSchemaWarning {
    char *location;         /* "uri#pointer" of the keyword; NULL: the text is about all of them */
    char *keyword;          /* may be NULL */
    const char *suggestion; /* the keyword that may be meant; may be NULL */
    char *text;
} JsonSchemaWarning;

/*
 * The first such keywords of a schema as a List of JsonSchemaWarning in the current memory
 * context; a last one says how many more there are.
 */
extern List *json_schema_find_warnings(const Jsonb *schema, const JsonSchemaOptions *options);

/* The draft for a value of the option, such as "2019-09"; 0 when there is no such draft. */
extern int json_schema_find_draft(JsonValue name);

/* The size of the program in bytes. */
extern Size json_schema_program_size(const JsonSchemaProgram *program);

/* Whether the program has read documents that are not built in, and so may change. */
extern bool json_schema_uses_loader(const JsonSchemaProgram *program);

/* The verdict. The instance is in a jsonb: what is before a string may be read with it. */
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

/* The verdict with all errors, in the current memory context. */
extern JsonSchemaVerdict json_schema_evaluate(const JsonSchemaProgram *program, JsonValue instance,
                                              int flags, int error_limit);

/* One error of a flat list. */
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
