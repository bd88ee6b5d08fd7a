/*
 * json_schema/evaluate.h: the exhaustive evaluation: what its two halves share, and what the
 * verdict and the comparison of schemas ask of it.
 */
#ifndef CTMS_JSON_SCHEMA_EVALUATE_H
#define CTMS_JSON_SCHEMA_EVALUATE_H

#include "extension/json_schema/internal.h"

/* A location is a chain of tokens on the stack; it becomes text only in a message. */
typedef struct Location {
    const struct Location *parent;
    const char *token; /* NULL: an index */
    uint32 length;
    uint32 index;
} Location;

/* The resources that the evaluation has entered, innermost first. */
typedef struct Scope {
    const struct Scope *outer;
    const JsonSchemaResource *resource;
} Scope;

/* Which members or items of an instance a schema has evaluated. */
typedef struct Evaluated {
    uint32 n;
    bool done[FLEXIBLE_ARRAY_MEMBER];
} Evaluated;

/* Steps that a verdict may take, and what one of the exhaustive evaluation counts for. */
#define EFFORT_OF_ONE 20000000
#define EFFORT_OF_EVALUATION 20
#define EFFORT_OF_UNIT 100 /* something to say about it, with its locations */

/* What one verdict may still cost. */
typedef struct Effort {
    int64 steps_left;
    const JsonSchemaProgram *program; /* NULL: there will be no more steps */
    JsonValue instance;
} Effort;

/* When the steps are used up: gives more where the instance is large, or else raises
 * statement_too_complex (54001). */
extern void effort_extend(Effort *effort);

static inline void
effort_spend(Effort *effort, int64 steps)
{
    effort->steps_left -= steps;
    if (unlikely(effort->steps_left < 0))
        effort_extend(effort);
}

typedef struct Evaluation {
    Effort *effort;
    int flags;
    int n_errors;
    int error_limit;
    bool is_cut;
    Size said; /* bytes of all units with their locations and messages */
} Evaluation;

/* One subschema on one instance. */
typedef struct Frame {
    Evaluation *evaluation;
    const JsonSchemaNode *node;
    JsonValue instance;
    const Location *schema_location;   /* NULL at the start */
    const Location *instance_location; /* NULL at the start */
    const Scope *scope;
    Evaluated *evaluated; /* NULL when nobody asks */
    JsonSchemaUnit *unit; /* NULL while there is nothing to say */
} Frame;

/* Applies a subschema in place of the frame's keyword: to the same instance. */
extern bool
evaluate_in_place(Frame *frame, const JsonSchemaNode *node, const Location *schema_location);
/* Applies a subschema to a part of the frame's instance. */
extern bool evaluate_part(Frame *frame, const JsonSchemaNode *node, const Location *schema_location,
                          JsonValue part, const Location *instance_location);
extern void evaluate_report_error(Frame *frame, const char *keyword, char *message);
extern void evaluate_report_annotation(Frame *frame, const char *keyword, Jsonb *annotation);
extern bool evaluate_wants_annotations(const Frame *frame);

/* What a dynamic reference means under this scope. */
extern const JsonSchemaNode *
json_schema_dynamic_target(const Scope *scope, const JsonSchemaKeyword *keyword);
/* The verdict, from some node on. Without an effort to share it has one of its own. */
extern bool json_schema_interpret(const JsonSchemaNode *node, JsonValue instance,
                                  const Scope *scope, Effort *effort);

/* ---- json_schema/evaluate_children.c: keywords about members and items. */
extern bool evaluate_children(Frame *frame, const JsonSchemaKeyword *keyword);

static inline Location
location_of_keyword(const Frame *frame, const char *keyword)
{
    Location location = {frame->schema_location, keyword, strlen(keyword), 0};

    return location;
}

static inline Location
location_of_name(const Location *parent, JsonValue name)
{
    Location location = {parent, name.data, name.length, 0};

    return location;
}

static inline Location
location_of_index(const Location *parent, uint32 index)
{
    Location location = {parent, NULL, 0, index};

    return location;
}

#endif
