/*
 * json_schema/evaluate.h: the exhaustive evaluation: declarations that its two files share, and
 * the functions that the verdict and the comparison of schemas call.
 */
#ifndef CTMS_JSON_SCHEMA_EVALUATE_H
#define CTMS_JSON_SCHEMA_EVALUATE_H

#include "lib/stringinfo.h"

#include "extension/base/memory_limit.h"
#include "extension/json_schema/internal.h"

/* A location is a chain of tokens on the stack. It only becomes text in a message. */
typedef struct Location {
    const struct Location *parent;
    const char *token; /* NULL: an array index */
    uint32 length;
    uint32 index;
} Location;

/* The resources that the evaluation has entered, innermost first. */
typedef struct Scope {
    const struct Scope *outer;
    const JsonSchemaResource *resource;
} Scope;

/* Which members or items of an instance a schema has evaluated: a bit for each. */
typedef struct Evaluated {
    uint32 n_words;
    uint64 done[FLEXIBLE_ARRAY_MEMBER];
} Evaluated;

static inline bool
evaluated_has(const Evaluated *evaluated, uint32 index)
{
    return (evaluated->done[index / 64] & UINT64CONST(1) << index % 64) != 0;
}

/* How many steps a verdict may take, and how many an evaluation of a subschema counts for. */
#define EFFORT_OF_ONE 20000000
#define EFFORT_OF_EVALUATION 20
#define EFFORT_OF_UNIT 100 /* for a unit with something to report, and its locations */
#define MARKS_OF_STEP 4096 /* how many marks of what is evaluated are handled in one step */

/* What one verdict may still cost. */
typedef struct Effort {
    int64 steps_left;
    const JsonSchemaProgram *program; /* NULL: no more steps are added */
    JsonValue instance;
} Effort;

/*
 * Called when the steps are used up. Adds more if the instance is large; otherwise raises
 * statement_too_complex (54001).
 */
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
    MemoryUse memory;
    StringInfoData text; /* for locations that are being made; its data is NULL before the first */
} Evaluation;

/* The evaluation of one subschema on one instance. */
typedef struct Frame {
    Evaluation *evaluation;
    const JsonSchemaNode *node;
    JsonValue instance;
    const Location *schema_location;   /* NULL at the start */
    const Location *instance_location; /* NULL at the start */
    const Scope *scope;
    Evaluated *evaluated; /* NULL when no one needs it */
    JsonSchemaUnit *unit; /* NULL as long as there is nothing to report */
} Frame;

/* Applies a subschema of the frame's keyword to the same instance. */
extern bool
evaluate_in_place(Frame *frame, const JsonSchemaNode *node, const Location *schema_location);
/* Applies a subschema to a part of the frame's instance. */
extern bool evaluate_part(Frame *frame, const JsonSchemaNode *node, const Location *schema_location,
                          JsonValue part, const Location *instance_location);
extern void evaluate_report_error(Frame *frame, const char *keyword, char *message);
extern void evaluate_report_annotation(Frame *frame, const char *keyword, Jsonb *annotation);
/* The same for an annotation in the form of JSON text, which is freed. */
extern void
evaluate_report_annotation_text(Frame *frame, const char *keyword, StringInfo annotation);
extern bool evaluate_wants_annotations(const Frame *frame);

/* The node that a dynamic reference means in this scope. */
extern const JsonSchemaNode *
json_schema_dynamic_target(const Scope *scope, const JsonSchemaKeyword *keyword);
/* The verdict, starting at some node. If no effort is passed, it uses a new one. */
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
