/*
 * json_schema/cycle_dynamic.c: finds schemas that apply themselves to the same instance without end
 * by dynamic references, such as {"$dynamicAnchor": "n", "$dynamicRef": "#n"}.
 *
 * What a dynamic reference means depends on the resources through which the evaluation came. So
 * this walks over pairs of a node and such a scope, from the root as every evaluation does, and
 * only over those that can be reached. A scope keeps only resources that decide a reference: the
 * outermost with each anchor. An endless path comes to the same pair again, because a scope only
 * grows.
 *
 * The number of pairs is limited. What is beyond it is not found here; the evaluation then runs out
 * of stack and raises an error.
 */
#include "extension/base/compat.h"

#include "miscadmin.h"

#include "extension/json_schema/internal.h"

/* The most steps. The largest real schemas take some thousands. */
#define MAX_STEPS 2000000

/* Resources that were entered, innermost first. */
typedef struct CycleScope {
    const struct CycleScope *outer; /* NULL: there is none */
    const JsonSchemaResource *resource;
} CycleScope;

typedef struct PairKey {
    const void *thing; /* a node, or a resource that is entered */
    const CycleScope *scope;
} PairKey;

/* A node in a scope; or, of a resource, the scope inside it. */
typedef struct Pair {
    PairKey key;
    const CycleScope *inner;
    bool is_on_path;
    bool is_visited;
} Pair;

/* How much of a pair on the path has been visited. */
typedef struct PairStep {
    Pair *pair;
    int keyword;
    int child;
} PairStep;

typedef struct CycleWalk {
    JsonSchemaCompile *compile;
    HTAB *pairs;
    List *starts; /* Pairs that begin a path of their own: other instances, or not always applied */
    int steps_left;
} CycleWalk;

static Pair *
find_pair(CycleWalk *walk, const void *thing, const CycleScope *scope, bool *found)
{
    PairKey key = {thing, scope};
    Pair *pair = hash_search(walk->pairs, &key, HASH_ENTER, found);

    if (!*found) {
        pair->inner = NULL;
        pair->is_on_path = false;
        pair->is_visited = false;
    }
    return pair;
}

/* The outermost target. */
static JsonSchemaNode *
target_in(CycleWalk *walk, const JsonSchemaCandidates *candidates, const CycleScope *scope)
{
    JsonSchemaNode *target = NULL;

    for (; scope; scope = scope->outer) {
        JsonSchemaNode *node = json_schema_candidate_in(walk->compile, candidates, scope->resource);

        walk->steps_left--;
        if (node)
            target = node;
    }
    return target;
}

/* The scope after a resource is entered: the same if it decides nothing more. */
static const CycleScope *
enter_resource(CycleWalk *walk, const JsonSchemaResource *resource, const CycleScope *scope)
{
    bool found;
    Pair *pair = find_pair(walk, resource, scope, &found);
    ListCell *cell;

    if (found)
        return pair->inner;
    pair->inner = scope;
    foreach (cell, walk->compile->candidates) {
        const JsonSchemaCandidates *candidates = lfirst(cell);

        walk->steps_left--;
        if (json_schema_candidate_in(walk->compile, candidates, resource) &&
            !target_in(walk, candidates, scope)) {
            CycleScope *inner = palloc(sizeof(CycleScope));

            inner->outer = scope;
            inner->resource = resource;
            pair->inner = inner;
            break;
        }
    }
    return pair->inner;
}

static Pair *
pair_of(CycleWalk *walk, const JsonSchemaNode *node, const CycleScope *scope)
{
    bool found;

    walk->steps_left--;
    return find_pair(walk, node, enter_resource(walk, node->resource, scope), &found);
}

/* ---- walking ------------------------------------------------------------------ */

/* How many nodes of the keyword there are, and whether the one with that number always applies. */
static int
count_children(const JsonSchemaKeyword *keyword)
{
    return keyword->nodes ? keyword->n : 0;
}

static bool
is_in_place(const JsonSchemaKeyword *keyword, int child)
{
    return child < json_schema_count_in_place(keyword) || keyword->kind == KEYWORD_DYNAMIC_REF;
}

static const JsonSchemaNode *
child_node(CycleWalk *walk, const JsonSchemaKeyword *keyword, int child, const CycleScope *scope)
{
    const JsonSchemaNode *target = NULL;

    if (keyword->kind == KEYWORD_DYNAMIC_REF)
        target = target_in(walk, keyword->candidates, scope);
    return target ? target : keyword->nodes[child];
}

/* The next pair on the path; NULL when there is none left. Others are put off. */
static Pair *
next_pair(CycleWalk *walk, PairStep *step)
{
    const JsonSchemaNode *node = step->pair->key.thing;
    const CycleScope *scope = step->pair->key.scope;

    for (; step->keyword < node->n_keywords; step->keyword++, step->child = 0) {
        const JsonSchemaKeyword *keyword = &node->keywords[step->keyword];

        while (step->child < count_children(keyword)) {
            int child = step->child++;
            const JsonSchemaNode *below = child_node(walk, keyword, child, scope);

            if (!below || below->n_keywords == 0)
                continue;
            if (is_in_place(keyword, child))
                return pair_of(walk, below, scope);
            walk->starts = lappend(walk->starts, pair_of(walk, below, scope));
        }
    }
    return NULL;
}

static List *
enter_pair(List *path, Pair *pair)
{
    PairStep *step = palloc0(sizeof(PairStep));

    pair->is_on_path = true;
    pair->is_visited = true;
    step->pair = pair;
    return lappend(path, step);
}

static void
walk_path(CycleWalk *walk, Pair *start)
{
    List *path = enter_pair(NIL, start);

    while (path != NIL && walk->steps_left > 0) {
        PairStep *step = llast(path);
        const JsonSchemaNode *node = step->pair->key.thing;
        Pair *next = next_pair(walk, step);

        CHECK_FOR_INTERRUPTS();
        if (!next) {
            step->pair->is_on_path = false;
            path = list_delete_last(path);
            pfree(step);
        } else if (next->is_on_path) {
            json_schema_problem(walk->compile, node->resource, node->pointer,
                                node->keywords[step->keyword].name,
                                "the schema applies itself to the same value without end");
        } else if (!next->is_visited) {
            path = enter_pair(path, next);
        }
    }
}

void
json_schema_find_dynamic_cycles(JsonSchemaCompile *compile)
{
    CycleWalk walk = {compile, NULL, NIL, MAX_STEPS};
    MemoryContext caller;
    HASHCTL control;

    if (!compile->program->has_dynamic_scope || compile->problems)
        return;
    caller = MemoryContextSwitchTo(compile->scratch);
    memset(&control, 0, sizeof(control));
    control.keysize = sizeof(PairKey);
    control.entrysize = sizeof(Pair);
    control.hcxt = compile->scratch;
    walk.pairs =
        hash_create("JSON Schema cycles", 1024, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
    walk.starts = list_make1(pair_of(&walk, compile->program->root, NULL));
    for (int i = 0; i < list_length(walk.starts) && walk.steps_left > 0; i++) {
        Pair *start = list_nth(walk.starts, i);

        CHECK_FOR_INTERRUPTS();
        if (!start->is_visited)
            walk_path(&walk, start);
    }
    hash_destroy(walk.pairs);
    MemoryContextSwitchTo(caller);
}
