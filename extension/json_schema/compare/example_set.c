/*
 * json_schema/compare/example_set.c: judges the candidates for one place and keeps the best.
 *
 * A part is only kept if the facts of the old schema for that place accept it. Parts that the
 * facts of the new schema reject are used first. A whole candidate is judged by the programs
 * themselves.
 */
#include "extension/base/compat.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "extension/json_schema/compare/example.h"
#include "extension/json_schema/evaluate.h"

/* Once there is an example, no more than this is spent on finding a smaller one. */
#define MAX_WORK_TO_SHRINK (2 * 1024 * 1024)
/* The largest size of a candidate. */
#define MAX_BYTES (1024 * 1024)
/* When the text of an example is as short as this, the search ends. */
#define SHORT_ENOUGH 2
/* How many candidates are kept for a part, and how many of those that the same hints accept. */
#define MAX_KEPT 24
#define MAX_KEPT_ALIKE 3
/* How many hints are used to tell candidates apart. */
#define MAX_TOLD_APART 32

typedef struct Kept {
    Jsonb *jsonb;
    uint32 accepted_by; /* a bit for each of the first hints */
    int rank;           /* place among those that the same hints accept, the smallest first */
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

/* ---- judging ------------------------------------------------------------------------- */

/* Judges a whole value with the programs, and keeps the smallest example. */
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

/* Keeps the list sorted by size. Of equal sizes, the one that came first stays first. */
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

/* The jsonbs of the list: first one of each sort, then a second of each. */
List *
example_set_list(List *list)
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

/* False when the candidate cannot be used as a part. */
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
