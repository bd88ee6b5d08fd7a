/*
 * json_schema/compare/facts.h: what is known about an instance that passes a set of subschemas.
 *
 * Like the exhaustive evaluation, it reads the compiled nodes. So references, drafts and renamed
 * keywords have the same meaning here as in a verdict. It is used by the proof
 * (json_schema/compare/cover.h) and by the search for an example (json_schema/compare/example.h).
 */
#ifndef CTMS_JSON_SCHEMA_FACTS_H
#define CTMS_JSON_SCHEMA_FACTS_H

#include "extension/json_schema/internal.h"

/*
 * The instance passes all these nodes. The nodes to which they refer, and those in their allOf,
 * are included. Some may be missing: fewer facts never make a proof wrong.
 */
typedef struct SchemaFacts {
    List *nodes;     /* const JsonSchemaNode * */
    uint32 kinds;    /* JSON_KIND_BITs that it can have; 0: no such instance exists */
    bool is_integer; /* if it is a number, it has no fraction */
} SchemaFacts;

/*
 * Adds what the nodes imply for the same instance, and computes the other fields. Does not change
 * the list.
 */
extern SchemaFacts facts_of(List *nodes, uint32 kinds);
extern SchemaFacts facts_and(const SchemaFacts *facts, const JsonSchemaNode *node);

/*
 * The facts about the member with that name, and about the item with that index (PG_INT32_MAX: an
 * item that is beyond all lists).
 */
extern SchemaFacts facts_of_member(const SchemaFacts *facts, JsonValue name);
extern SchemaFacts facts_of_item(const SchemaFacts *facts, int64 index);

/* Whether the value passes all nodes, each taken alone. */
extern bool facts_nodes_accept(List *nodes, JsonValue value);

/* The largest lower bound and the smallest upper bound that keywords of this kind give. */
extern int64 facts_least_count(const SchemaFacts *facts, JsonSchemaKeywordKind kind);
extern int64 facts_most_count(const SchemaFacts *facts, JsonSchemaKeywordKind kind);

/*
 * Whether the member with that name is required. If a list has the name at the guessed index, it
 * is not searched.
 */
extern bool facts_require(const SchemaFacts *facts, JsonValue name, int guess);

/*
 * If only a few values are possible, sets *values to an array of *n values. Not all of them have
 * to pass the nodes.
 */
extern bool facts_are_finite(const SchemaFacts *facts, const JsonValue **values, int *n);

/* Whether it can be shown that no instance passes. */
extern bool facts_are_empty(const SchemaFacts *facts);

#endif
