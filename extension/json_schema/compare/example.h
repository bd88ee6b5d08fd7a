/*
 * json_schema/compare/example.h: looks for a value that one schema accepts and another refuses.
 */
#ifndef CTMS_JSON_SCHEMA_EXAMPLE_H
#define CTMS_JSON_SCHEMA_EXAMPLE_H

#include "extension/json_schema/compare/facts.h"

/* The smallest one that was found within the limits, in the current memory context; NULL
 * when there was none, which does not mean that there is none. */
extern Jsonb *json_schema_find_example(const JsonSchemaProgram *old_program,
                                       const JsonSchemaProgram *new_program);

/* ---- between the files of the search ------------------------------------------------- */

/* What both schemas say about one place of the instance. */
typedef struct ExamplePlace {
    SchemaFacts old_facts; /* what is put there passes these */
    SchemaFacts new_facts; /* or else the example is found */
    List *hints;           /* JsonSchemaNode, of both schemas: all that may matter there */
    int depth;
    int64 cost; /* of judging one candidate, as work */
} ExamplePlace;

typedef struct ExampleSearch {
    const JsonSchemaProgram *old_program;
    const JsonSchemaProgram *new_program;
    int64 work_left; /* bytes of candidates */
    Jsonb *best;
    int best_length; /* as text */
    MemoryContext result_context;
    MemoryContext judging; /* emptied after each candidate */
} ExampleSearch;

/* Candidates for one place. */
typedef struct ExampleSet {
    ExampleSearch *search;
    const ExamplePlace *place;
    int64 work_limit; /* what the search must have left for this one to go on */
    /* What was kept, for example_set_list(). */
    List *breaking; /* the new facts refuse these */
    List *neutral;  /* accepted by both */
} ExampleSet;

/* ---- json_schema/compare/example_set.c */
/* Takes a candidate: false when there is no work left for more. */
extern bool example_put(ExampleSet *set, Jsonb *candidate);
/* The jsonbs of what was kept: first one of each sort, then a second of each. */
extern List *example_set_list(List *kept);

/* ---- json_schema/compare/example.c */
/* Candidates for a place below, at most "most" of them, those that break first
 * and different ones before similar ones. Spends at
 * most one part of what is left of the work. */
extern List *example_candidates(ExampleSet *set, ExamplePlace place, int most, int parts);
/* Something for that place that the new schema is likely to accept too; NULL: nothing. */
extern Jsonb *example_neutral(ExampleSet *set, ExamplePlace place);
/* A place: the nodes may matter there, and all that they apply in place. */
extern ExamplePlace
example_place(SchemaFacts old_facts, SchemaFacts new_facts, List *nodes, int depth);

/* ---- json_schema/compare/example_scalar.c: strings and numbers at the edges of the keywords. */
extern void example_put_scalars(ExampleSet *set);
/* A few strings that match the pattern, or nearly. */
extern List *example_strings_of_pattern(const char *pattern, uint32 length);
/* ---- json_schema/compare/example_object.c, json_schema/compare/example_array.c */
extern void example_put_objects(ExampleSet *set);
extern void example_put_arrays(ExampleSet *set);

/* ---- building ------------------------------------------------------------------------ */

extern Jsonb *example_string(const char *bytes, int length);
extern JsonValue example_name(const char *text);
/* The jsonb as something to push into another one. */
extern JsonbValue example_part(const Jsonb *jsonb);

#endif
