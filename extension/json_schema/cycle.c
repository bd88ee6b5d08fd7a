/*
 * json_schema/cycle.c: finds schemas that apply themselves to the same instance without end, such
 * as {"$ref": "#"}. They have no meaning, so compiling them is an error.
 *
 * Paths that only some instances take ("then", dependent schemas) are not followed. If such a path
 * has no end, the evaluation runs out of stack and raises an error. Dynamic references are followed
 * by json_schema/cycle_dynamic.c.
 */
#include "extension/base/compat.h"

#include "miscadmin.h"

#include "extension/json_schema/internal.h"

typedef enum Visit { NOT_VISITED, ON_PATH, VISITED } Visit;

/* How much of a node on the path has been visited. */
typedef struct Step {
    JsonSchemaNode *node;
    int keyword;
    int child;
} Step;

int
json_schema_count_in_place(const JsonSchemaKeyword *keyword)
{
    switch (keyword->kind) {
    case KEYWORD_REF:
    case KEYWORD_NOT:
    case KEYWORD_IF: return 1;
    case KEYWORD_DYNAMIC_REF: return 0;
    case KEYWORD_ALL_OF:
    case KEYWORD_ANY_OF:
    case KEYWORD_ONE_OF: return keyword->n;
    case KEYWORD_DEPENDENT_SCHEMAS:
    case KEYWORD_DEPENDENCIES:
    case ASSERTIONS:
    case APPLICATORS_TO_MEMBERS:
    case APPLICATORS_TO_ITEMS:
    case APPLICATORS_TO_UNEVALUATED:
    case KEYWORD_ANNOTATION:
    case COMPILED_AWAY: break;
    }
    return 0;
}

/* The next node to visit below the step; NULL when there is none left. */
static JsonSchemaNode *
next_child(Step *step)
{
    for (; step->keyword < step->node->n_keywords; step->keyword++, step->child = 0) {
        const JsonSchemaKeyword *keyword = &step->node->keywords[step->keyword];

        while (step->child < json_schema_count_in_place(keyword)) {
            JsonSchemaNode *child = keyword->nodes[step->child++];

            if (child)
                return child;
        }
    }
    return NULL;
}

static List *
enter(List *path, JsonSchemaNode *node)
{
    Step *step = palloc0(sizeof(Step));

    node->visit = ON_PATH;
    step->node = node;
    return lappend(path, step);
}

static void
walk_from(JsonSchemaCompile *compile, JsonSchemaNode *start)
{
    List *path = enter(NIL, start);

    while (path != NIL) {
        Step *step = llast(path);
        JsonSchemaNode *child = next_child(step);

        CHECK_FOR_INTERRUPTS();
        if (!child) {
            step->node->visit = VISITED;
            path = list_delete_last(path);
            pfree(step);
        } else if (child->visit == ON_PATH) {
            json_schema_problem(compile, step->node->resource, step->node->pointer,
                                step->node->keywords[step->keyword].name,
                                "the schema applies itself to the same value without end");
        } else if (child->visit == NOT_VISITED) {
            path = enter(path, child);
        }
    }
}

void
json_schema_find_cycles(JsonSchemaCompile *compile)
{
    ListCell *cell;

    foreach (cell, compile->all_nodes) {
        JsonSchemaNode *node = lfirst(cell);

        if (node->visit == NOT_VISITED)
            walk_from(compile, node);
    }
}
