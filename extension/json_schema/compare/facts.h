/*
 * json_schema/compare/facts.h: what is known of an instance that passes a set of subschemas.
 *
 * Reads the compiled nodes, as the exhaustive evaluation does, so that references, drafts
 * and renamed keywords mean the same here as in a verdict. Used by the proof
 * (json_schema/compare/cover.h) and by the search for an example (json_schema/compare/example.h).
 */
#ifndef CTMS_JSON_SCHEMA_FACTS_H
#define CTMS_JSON_SCHEMA_FACTS_H

#include "extension/json_schema/internal.h"

/* The instance passes all nodes; what they refer to and their allOf are among them. Not
 * everything has to be there: fewer facts never make a proof wrong. */
typedef struct SchemaFacts {
    List *nodes;     /* const JsonSchemaNode * */
    uint32 kinds;    /* JSON_KIND_BITs that it can have; 0: there is no such instance */
    bool is_integer; /* as a number it has no fraction */
} SchemaFacts;

/* Adds what the nodes imply in place and sums up. The list is not changed. */
extern SchemaFacts facts_of(List *nodes, uint32 kinds);
extern SchemaFacts facts_and(const SchemaFacts *facts, const JsonSchemaNode *node);

/* About a member of that name, and about the item of that index (PG_INT32_MAX: one
 * that no list reaches). */
extern SchemaFacts facts_of_member(const SchemaFacts *facts, JsonValue name);
extern SchemaFacts facts_of_item(const SchemaFacts *facts, int64 index);

/* Whether the value passes all nodes, taken by themselves. */
extern bool facts_nodes_accept(List *nodes, JsonValue value);

/* Largest lower and smallest upper bound that a counting keyword gives. */
extern int64 facts_least_count(const SchemaFacts *facts, JsonSchemaKeywordKind kind);
extern int64 facts_most_count(const SchemaFacts *facts, JsonSchemaKeywordKind kind);

/* Whether a member of that name must be there. Lists that have it at the guessed place are
 * not searched. */
extern bool facts_require(const SchemaFacts *facts, JsonValue name, int guess);

/* The values that the instance can have at most, when they are few: *values is an array
 * of *n. Not all of them need pass the nodes. */
extern bool facts_are_finite(const SchemaFacts *facts, const JsonValue **values, int *n);

/* Whether it can be seen that nothing passes. */
extern bool facts_are_empty(const SchemaFacts *facts);

#endif
