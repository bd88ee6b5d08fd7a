/*
 * json_schema/compare/example.h: looks for a value that one schema accepts and another one
 * rejects.
 */
#ifndef CTMS_JSON_SCHEMA_EXAMPLE_H
#define CTMS_JSON_SCHEMA_EXAMPLE_H

#include "extension/json_schema/compare/facts.h"

/*
 * The smallest example found within the limits, in the current memory context. NULL when none was
 * found; this does not mean that none exists.
 */
extern Jsonb *json_schema_find_example(const JsonSchemaProgram *old_program,
                                       const JsonSchemaProgram *new_program);

/* ---- between the files of the search ------------------------------------------------- */

/* What both schemas say about one place in the instance. */
typedef struct ExamplePlace {
    SchemaFacts old_facts; /* values at this place must pass these */
    SchemaFacts new_facts; /* if a value does not pass these, it is an example */
    List *hints;           /* JsonSchemaNode, of both schemas: all that may matter at this place */
    int depth;
    int64 cost; /* cost of judging one candidate, in units of work */
} ExamplePlace;

typedef struct ExampleSearch {
    const JsonSchemaProgram *old_program;
    const JsonSchemaProgram *new_program;
    int64 work_left; /* in bytes of candidates */
    Jsonb *best;
    int best_length; /* the length of its text */
    MemoryContext result_context;
    MemoryContext judging; /* emptied after each candidate */
} ExampleSearch;

/* The candidates for one place. */
typedef struct ExampleSet {
    ExampleSearch *search;
    const ExamplePlace *place;
    int64 work_limit; /* this search stops when work_left has fallen to this */
    /* The candidates that were kept, as example_set_list() takes them. */
    List *breaking; /* rejected by the new facts */
    List *neutral;  /* accepted by both */
} ExampleSet;

/* ---- json_schema/compare/example_set.c */
/* Takes a candidate. False when there is no work left for another one. */
extern bool example_put(ExampleSet *set, Jsonb *candidate);
/* The jsonbs of a list of kept candidates: first one of each sort, then a second of each. */
extern List *example_set_list(List *kept);

/* ---- json_schema/compare/example.c */
/*
 * Candidates for a place below, at most "most" of them. Those that the new facts reject come
 * first, and different ones come before similar ones. Spends at most the remaining work divided
 * by "parts".
 */
extern List *example_candidates(ExampleSet *set, ExamplePlace place, int most, int parts);
/* A value for that place that the new schema probably accepts too; NULL when there is none. */
extern Jsonb *example_neutral(ExampleSet *set, ExamplePlace place);
/* Makes a place. Its hints are the nodes, and all nodes that these apply to the same instance. */
extern ExamplePlace
example_place(SchemaFacts old_facts, SchemaFacts new_facts, List *nodes, int depth);

/* ---- json_schema/compare/example_scalar.c: strings and numbers at the edges of the keywords. */
extern void example_put_scalars(ExampleSet *set);
/* A few strings that match the pattern, or almost match it. */
extern List *example_strings_of_pattern(const char *pattern, uint32 length);
/* ---- json_schema/compare/example_object.c, json_schema/compare/example_array.c */
extern void example_put_objects(ExampleSet *set);
extern void example_put_arrays(ExampleSet *set);

/* ---- building ------------------------------------------------------------------------ */

extern Jsonb *example_string(const char *bytes, int length);
extern JsonValue example_name(const char *text);
/* The jsonb in the form that can be pushed into another one. */
extern JsonbValue example_part(const Jsonb *jsonb);

#endif
