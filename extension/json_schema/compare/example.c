/*
 * json_schema/compare/example.c: looks for a value that one schema accepts and another one
 * rejects.
 *
 * Candidates are made from the keywords of both schemas: values at the limits that keywords set
 * and, for objects and arrays, a plain one and others that differ from it in one part.
 * example_set.c judges the candidates.
 *
 * One recursion with example_object.c and example_array.c, split by size. Those two make
 * candidates; this file continues the search in their parts.
 */
#include "extension/base/compat.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "extension/json_schema/compare/example.h"
#include "extension/json_schema/evaluate.h"

/* Limit of the whole search: bytes of candidates, plus some for judging each of them. */
#define MAX_WORK (16 * 1024 * 1024)
#define WORK_OF_ONE 200
#define MAX_DEPTH 12
#define MAX_HINTS 600
/* ---- what may matter ------------------------------------------------------------------ */

static List *
add_hint(List *hints, const JsonSchemaNode *node)
{
    if (!node || list_length(hints) >= MAX_HINTS || list_member_ptr(hints, node))
        return hints;
    return lappend(hints, (void *)node);
}

static List *
all_hints(List *nodes)
{
    List *hints = NIL;
    ListCell *cell;

    foreach (cell, nodes)
        hints = add_hint(hints, lfirst(cell));

    for (int at = 0; at < list_length(hints); at++) {
        const JsonSchemaNode *node = list_nth(hints, at);

        for (int i = 0; i < node->n_keywords; i++) {
            const JsonSchemaKeyword *keyword = &node->keywords[i];

            switch (keyword->kind) {
            case APPLICATORS_IN_PLACE:
                for (int j = 0; j < keyword->n; j++)
                    hints = add_hint(hints, keyword->nodes[j]);
                break;
            case ASSERTIONS:
            case APPLICATORS_TO_MEMBERS:
            case APPLICATORS_TO_ITEMS:
            case APPLICATORS_TO_UNEVALUATED:
            case KEYWORD_ANNOTATION: break;
            case COMPILED_AWAY: json_schema_stray_keyword(keyword);
            }
        }
    }
    return hints;
}

/*
 * How much a long keyword adds to the cost of judging a candidate. "properties" adds nothing,
 * because its names are found by binary search.
 */
static int64
cost_of(const JsonSchemaKeyword *keyword)
{
    switch (keyword->kind) {
    case KEYWORD_PROPERTIES: return 0;
    case KEYWORD_PATTERN_PROPERTIES: return 16 * (int64)keyword->n;
    case KEYWORD_ENUM: return keyword->n / 4;
    case KEYWORD_TYPE:
    case KEYWORD_CONST:
    case ASSERTIONS_ON_STRINGS:
    case ASSERTIONS_ON_NUMBERS:
    case ASSERTIONS_ON_ARRAYS:
    case ASSERTIONS_ON_OBJECTS:
    case APPLICATORS_IN_PLACE:
    case KEYWORD_ADDITIONAL_PROPERTIES:
    case KEYWORD_PROPERTY_NAMES:
    case APPLICATORS_TO_ITEMS:
    case APPLICATORS_TO_UNEVALUATED:
    case KEYWORD_ANNOTATION: return 4 * (int64)keyword->n;
    case COMPILED_AWAY: break;
    }
    json_schema_stray_keyword(keyword);
}

ExamplePlace
example_place(SchemaFacts old_facts, SchemaFacts new_facts, List *nodes, int depth)
{
    ExamplePlace place = {old_facts, new_facts, all_hints(nodes), depth, WORK_OF_ONE};
    ListCell *cell;

    place.cost += 4 * list_length(place.hints);
    foreach (cell, place.hints) {
        const JsonSchemaNode *node = lfirst(cell);

        for (int i = 0; i < node->n_keywords; i++)
            place.cost += cost_of(&node->keywords[i]);
    }
    return place;
}

/* ---- candidates -------------------------------------------------------------------------- */

static void
put_all(ExampleSet *set)
{
    check_stack_depth();
    example_put_scalars(set);
    /* If no schema says anything about the place, scalars are enough. */
    if (set->place->depth >= MAX_DEPTH || !set->place->hints)
        return;
    if (set->place->old_facts.kinds & JSON_KIND_BIT(JSON_OBJECT))
        example_put_objects(set);
    if (set->place->old_facts.kinds & JSON_KIND_BIT(JSON_ARRAY))
        example_put_arrays(set);
}

static ExampleSet
candidates_of(ExampleSet *set, const ExamplePlace *place, int parts)
{
    int64 available = Max(set->search->work_left - set->work_limit, 0);
    ExampleSet below = {set->search, place, 0, NIL, NIL};

    below.work_limit = set->search->work_left - available / Max(parts, 1);
    set->search->work_left -= Min(place->cost, available);
    if (available > 0)
        put_all(&below);
    return below;
}

List *
example_candidates(ExampleSet *set, ExamplePlace place, int most, int parts)
{
    ExampleSet below = candidates_of(set, &place, parts);
    List *chosen = example_set_list(below.breaking);
    List *neutral = example_set_list(below.neutral);

    /* Neutral candidates are needed too, because the fault may only appear when several parts
     * come together. */
    if (list_length(chosen) > most / 2)
        chosen = list_truncate(chosen, Max(most / 2, most - list_length(neutral)));
    chosen = list_concat(chosen, neutral);
    return list_length(chosen) > most ? list_truncate(chosen, most) : chosen;
}

Jsonb *
example_neutral(ExampleSet *set, ExamplePlace place)
{
    ExampleSet below = candidates_of(set, &place, 8);

    List *best = below.neutral ? below.neutral : below.breaking;

    return best ? linitial(example_set_list(best)) : NULL;
}

Jsonb *
json_schema_find_example(const JsonSchemaProgram *old_program, const JsonSchemaProgram *new_program)
{
    MemoryContext scratch =
        AllocSetContextCreate(CurrentMemoryContext, "JSON Schema example", ALLOCSET_DEFAULT_SIZES);
    MemoryContext judging =
        AllocSetContextCreate(scratch, "JSON Schema example judging", ALLOCSET_DEFAULT_SIZES);
    ExampleSearch search = {old_program, new_program,          MAX_WORK, NULL,
                            0,           CurrentMemoryContext, judging};
    MemoryContext caller = MemoryContextSwitchTo(scratch);
    SchemaFacts old_facts = facts_of(list_make1(old_program->root), JSON_KINDS_ALL);
    SchemaFacts new_facts = facts_of(list_make1(new_program->root), JSON_KINDS_ALL);
    ExamplePlace place =
        example_place(old_facts, new_facts, list_make2(old_program->root, new_program->root), 0);
    ExampleSet set = {&search, &place, 0, NIL, NIL};

    /* Running a whole program may cost a lot. */
    place.cost += (old_program->n_nodes + new_program->n_nodes) / 16;
    put_all(&set);
    MemoryContextSwitchTo(caller);
    MemoryContextDelete(scratch);
    return search.best;
}
