/*
 * json_schema/compare/cover.h: proves that one schema accepts everything that another one
 * accepts.
 */
#ifndef CTMS_JSON_SCHEMA_COVER_H
#define CTMS_JSON_SCHEMA_COVER_H

#include "miscadmin.h"

#include "extension/json_schema/compare/facts.h"

/* A claim that is being proved. When it is met again deeper in the instance, it may be assumed. */
typedef struct CoverClaim {
    const struct CoverClaim *outer;
    const JsonSchemaNode *node;
    const SchemaFacts *facts;
    int instance_depth;
} CoverClaim;

typedef struct Cover {
    int64 steps_left;
    int depth;
    int instance_depth;
    const CoverClaim *claims;
} Cover;

/*
 * True: the new program accepts everything that the old one does. False: this could not be proved
 * within the limits.
 */
extern bool
json_schema_covers(const JsonSchemaProgram *new_program, const JsonSchemaProgram *old_program);

/* ---- between the files of the proof ---------------------------------------------- */

/* Whether every instance that has the facts passes the node. */
extern bool cover_node(Cover *cover, const JsonSchemaNode *node, const SchemaFacts *facts);
/* The same for a part of the instance. */
extern bool cover_part(Cover *cover, const JsonSchemaNode *node, const SchemaFacts *facts);
/* Takes the steps from the budget. False when it is used up: the work must not be done. */
static inline bool
cover_spend(Cover *cover, int64 steps)
{
    CHECK_FOR_INTERRUPTS();
    cover->steps_left -= Min(steps, cover->steps_left);
    return cover->steps_left > 0;
}

/* ---- json_schema/compare/cover_children.c: keywords about members and items. */
extern bool cover_children(Cover *cover, const JsonSchemaNode *node,
                           const JsonSchemaKeyword *keyword, const SchemaFacts *facts);
/* ---- json_schema/compare/cover_assert.c: keywords without subschemas. */
extern bool
cover_assertion(Cover *cover, const JsonSchemaKeyword *keyword, const SchemaFacts *facts);

#endif
