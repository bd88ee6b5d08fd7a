/*
 * json_schema/compare/example.c: looks for a value that one schema accepts and another refuses.
 *
 * Candidates are made from what the keywords of both schemas say: values at their edges,
 * for objects and arrays a plain one and what differs from it in one part. Parts are kept
 * only when what is known of the old schema at that place accepts them, and those that the
 * new one refuses are put to use first. A whole candidate counts when the programs say so.
 *
 * One recursion with example_object.c, example_array.c and example_scalar.c, split by size:
 * those make candidates, here they are judged and the search goes down into their parts.
 */
#include "extension/base/compat.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "extension/json_schema/compare/example.h"
#include "extension/json_schema/evaluate.h"

/* Bytes of candidates, with something for each of them. */
#define MAX_WORK (16 * 1024 * 1024)
#define WORK_OF_ONE 200
/* What may still be spent on a smaller example when there is one. */
#define MAX_WORK_TO_SHRINK (2 * 1024 * 1024)
/* One candidate is not larger than this. */
#define MAX_BYTES (1024 * 1024)
/* No shorter text is worth looking for. */
#define SHORT_ENOUGH 2
#define MAX_DEPTH 12
#define MAX_HINTS 600
/* Candidates kept for a part, and of those that the same hints accept. */
#define MAX_KEPT 24
#define MAX_KEPT_ALIKE 3
/* Hints that tell candidates apart. */
#define MAX_TOLD_APART 32

typedef struct Kept {
    Jsonb *jsonb;
    uint32 accepted_by; /* a bit for each of the first hints */
    int rank;           /* among those that are alike, the smallest first */
} Kept;

/* ---- building ------------------------------------------------------------------------ */

Jsonb *
example_string(const char *bytes, int length)
{
    JsonbValue value = {.type = jbvString};

    value.val.string.val = (char *)bytes;
    value.val.string.len = length;
    return JsonbValueToJsonb(&value);
}

JsonValue
example_name(const char *text)
{
    JsonValue name = {text, strlen(text), JSON_STRING};

    return name;
}

JsonbValue
example_part(const Jsonb *jsonb)
{
    JsonbValue value;

    if (JsonbExtractScalar((JsonbContainer *)&jsonb->root, &value))
        return value;
    value.type = jbvBinary;
    value.val.binary.data = (JsonbContainer *)&jsonb->root;
    value.val.binary.len = VARSIZE(jsonb) - VARHDRSZ;
    return value;
}

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

/* What a long keyword adds to judging a candidate; names are looked up by halving. */
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

/* Judges a whole value by the programs and keeps the smallest example. */
static void
judge(ExampleSearch *search, const Jsonb *candidate)
{
    JsonValue value = json_value_of_jsonb(candidate);
    MemoryContext caller;
    char *text;
    int length;

    if (!json_schema_run(search->old_program, value) || json_schema_run(search->new_program, value))
        return;
    text = JsonbToCString(NULL, (JsonbContainer *)&candidate->root, VARSIZE(candidate));
    length = strlen(text);
    pfree(text);
    if (search->best && length >= search->best_length)
        return;
    if (search->best)
        pfree(search->best);
    caller = MemoryContextSwitchTo(search->result_context);
    search->best = palloc(VARSIZE(candidate));
    memcpy(search->best, candidate, VARSIZE(candidate));
    MemoryContextSwitchTo(caller);
    search->best_length = length;
    search->work_left = Min(search->work_left, MAX_WORK_TO_SHRINK);
    if (length <= SHORT_ENOUGH)
        search->work_left = 0;
}

/* Smaller ones first; of equals the first that came. */
static List *
keep(List *list, Jsonb *candidate, uint32 accepted_by)
{
    Kept *kept = palloc(sizeof(Kept));
    int at = list_length(list);
    int rank = 0;

    while (at > 0 && VARSIZE(((Kept *)list_nth(list, at - 1))->jsonb) > VARSIZE(candidate))
        at--;
    kept->jsonb = candidate;
    kept->accepted_by = accepted_by;
    list = list_insert_nth(list, at, kept);
    for (int i = 0; i < list_length(list); i++) {
        Kept *other = list_nth(list, i);

        if (other->accepted_by != accepted_by)
            continue;
        other->rank = rank++;
        if (rank > MAX_KEPT_ALIKE)
            return list_delete_nth_cell(list, i);
    }
    return list_length(list) > MAX_KEPT ? list_truncate(list, MAX_KEPT) : list;
}

/* The jsonbs: first one of each sort, then a second of each. */
static List *
one_of_each_first(List *list)
{
    List *result = NIL;
    ListCell *cell;

    for (int rank = 0; rank < MAX_KEPT_ALIKE; rank++)
        foreach (cell, list)
            if (((Kept *)lfirst(cell))->rank == rank)
                result = lappend(result, ((Kept *)lfirst(cell))->jsonb);
    return result;
}

static uint32
accepting_hints(const ExamplePlace *place, JsonValue value)
{
    uint32 bits = 0;

    for (int i = 0; i < list_length(place->hints) && i < MAX_TOLD_APART; i++)
        if (json_schema_interpret(list_nth(place->hints, i), value, NULL, NULL))
            bits |= 1U << i;
    return bits;
}

/* False when the candidate is of no use as a part. */
static bool
consider(ExampleSet *set, Jsonb *candidate, JsonValue value)
{
    const ExamplePlace *place = set->place;
    MemoryContext caller = MemoryContextSwitchTo(set->search->judging);
    bool is_part = false;
    bool is_neutral = false;
    uint32 accepted_by = 0;

    if (place->depth == 0) {
        judge(set->search, candidate);
    } else if (place->old_facts.kinds & JSON_KIND_BIT(value.kind)) {
        is_part = facts_nodes_accept(place->old_facts.nodes, value);
        is_neutral = is_part && facts_nodes_accept(place->new_facts.nodes, value);
        if (is_part)
            accepted_by = accepting_hints(place, value);
    }
    MemoryContextSwitchTo(caller);
    if (is_neutral)
        set->neutral = keep(set->neutral, candidate, accepted_by);
    else if (is_part)
        set->breaking = keep(set->breaking, candidate, accepted_by);
    return is_part;
}

bool
example_put(ExampleSet *set, Jsonb *candidate)
{
    ExampleSearch *search = set->search;
    const ExamplePlace *place = set->place;
    JsonValue value = json_value_of_jsonb(candidate);
    int64 cost = VARSIZE(candidate) + place->cost;
    bool is_kept;

    CHECK_FOR_INTERRUPTS();
    if (search->work_left - cost < set->work_limit || VARSIZE(candidate) > MAX_BYTES) {
        pfree(candidate);
        return search->work_left > set->work_limit;
    }
    search->work_left -= cost;
    is_kept = consider(set, candidate, value);
    MemoryContextReset(search->judging);
    if (!is_kept)
        pfree(candidate);
    return search->work_left > set->work_limit;
}

static void
put_all(ExampleSet *set)
{
    check_stack_depth();
    example_put_scalars(set);
    /* What no schema speaks of needs no more. */
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
    List *chosen = one_of_each_first(below.breaking);
    List *neutral = one_of_each_first(below.neutral);

    /* The neutral ones count too: what breaks may be how parts go together. */
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

    return best ? ((Kept *)linitial(best))->jsonb : NULL;
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

    /* A whole program may be much to run. */
    place.cost += (old_program->n_nodes + new_program->n_nodes) / 16;
    put_all(&set);
    MemoryContextSwitchTo(caller);
    MemoryContextDelete(scratch);
    return search.best;
}
