/*
 * json_schema/compare/example_array.c: makes arrays as candidates for an example: short ones, one
 * for each length that a bound names, with all items equal and with all different, and arrays
 * with one item that differs.
 *
 * One recursion with example.c, split by size.
 */
#include "extension/base/compat.h"

#include "utils/builtins.h"

#include "extension/json_schema/compare/example.h"

#define MAX_VALUES 10
#define MAX_PAIR_VALUES 4
/* The most items that are made for a bound. */
#define MAX_ITEMS 1000
/* In lists of items, only this many positions are tried. */
#define MAX_POSITIONS 20

static Jsonb *
build(const Jsonb **items, int n)
{
    JsonbParseState *state = NULL;

    pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
    for (int i = 0; i < n; i++) {
        JsonbValue item = example_part(items[i]);

        pushJsonbValue(&state, WJB_ELEM, &item);
    }
    return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL));
}

static ExamplePlace
place_of_item(ExampleSet *set, int64 index)
{
    const ExamplePlace *place = set->place;
    SchemaFacts all = {place->hints, JSON_KINDS_ALL, false};
    SchemaFacts hints = facts_of_item(&all, index);
    ListCell *cell;

    foreach (cell, place->hints) {
        const JsonSchemaKeyword *contains = json_schema_keyword_of(lfirst(cell), KEYWORD_CONTAINS);
        const JsonSchemaKeyword *rest =
            json_schema_keyword_of(lfirst(cell), KEYWORD_UNEVALUATED_ITEMS);

        if (contains)
            hints.nodes = lappend(hints.nodes, contains->nodes[0]);
        if (rest)
            hints.nodes = lappend(hints.nodes, rest->nodes[0]);
    }
    return example_place(facts_of_item(&place->old_facts, index),
                         facts_of_item(&place->new_facts, index), hints.nodes, place->depth + 1);
}

/* The item with that number in an array whose items are all different. */
static const Jsonb *
distinct_item(List *values, int number, bool is_text)
{
    if (number < list_length(values))
        return list_nth(values, number);
    return DatumGetJsonbP(DirectFunctionCall1(
        jsonb_in, CStringGetDatum(psprintf(is_text ? "\"s%d\"" : "%d", 100 + number))));
}

static bool
put_length(ExampleSet *set, List *values, int n)
{
    const Jsonb **items = palloc(sizeof(Jsonb *) * Max(n, 1));
    bool goes_on;

    for (int i = 0; i < n; i++)
        items[i] = llast(values);
    goes_on = example_put(set, build(items, n));
    for (int is_text = 0; goes_on && is_text < 2; is_text++) {
        for (int i = 0; i < n; i++)
            items[i] = distinct_item(values, i, is_text);
        goes_on = example_put(set, build(items, n));
    }
    /* One item that differs from all the others. */
    for (int i = 1; i < n; i++)
        items[i] = llast(values);
    for (int i = 0; goes_on && n > 1 && i < list_length(values); i++) {
        items[0] = list_nth(values, i);
        goes_on = example_put(set, build(items, n));
    }
    pfree(items);
    return goes_on;
}

/* Arrays with lengths near a bound that counts items. False when there is no work left. */
static bool
put_around(ExampleSet *set, List *values, int64 bound, int64 other)
{
    for (int64 step = -1; step <= 1; step++) {
        int64 n = Min(bound, PG_INT32_MAX) + step;

        if (n >= 0 && n <= MAX_ITEMS && !put_length(set, values, n))
            return false;
        if (other < MAX_ITEMS && other + step >= 0 && !put_length(set, values, other + step))
            return false;
    }
    return true;
}

static bool
put_lengths_of_keyword(ExampleSet *set, List *values, const JsonSchemaKeyword *keyword)
{
    switch (keyword->kind) {
    case KEYWORD_MIN_ITEMS:
    case KEYWORD_MAX_ITEMS: return put_around(set, values, keyword->count, PG_INT64_MAX);
    case KEYWORD_CONTAINS: return put_around(set, values, keyword->count, keyword->max_count);
    case KEYWORD_UNIQUE_ITEMS:
    case ASSERTIONS_ON_ANYTHING:
    case ASSERTIONS_ON_STRINGS:
    case ASSERTIONS_ON_NUMBERS:
    case ASSERTIONS_ON_OBJECTS:
    case APPLICATORS_IN_PLACE:
    case APPLICATORS_TO_MEMBERS:
    case KEYWORD_PREFIX_ITEMS: /* put_positions */
    case KEYWORD_ITEMS:
    case APPLICATORS_TO_UNEVALUATED:
    case KEYWORD_ANNOTATION: return true;
    case COMPILED_AWAY: break;
    }
    json_schema_stray_keyword(keyword);
}

static void
put_lengths(ExampleSet *set, List *values)
{
    ListCell *cell;

    foreach (cell, set->place->hints) {
        const JsonSchemaNode *node = lfirst(cell);

        for (int i = 0; i < node->n_keywords; i++)
            if (!put_lengths_of_keyword(set, values, &node->keywords[i]))
                return;
    }
}

static void
put_short(ExampleSet *set, List *values)
{
    ListCell *first;
    ListCell *second;

    foreach (first, values) {
        const Jsonb *items[3] = {lfirst(first), lfirst(first), lfirst(first)};

        example_put(set, build(items, 1));
        example_put(set, build(items, 2));
        example_put(set, build(items, 3));
    }
    values = list_truncate(list_copy(values), MAX_PAIR_VALUES);
    foreach (first, values)
        foreach (second, values) {
            const Jsonb *items[2] = {lfirst(first), lfirst(second)};

            if (!example_put(set, build(items, 2)))
                return;
        }
}

/* The first value that is different from all items before; the last value if there is none. */
static const Jsonb *
unlike_others(const Jsonb **items, int n, List *values)
{
    ListCell *cell;

    foreach (cell, values) {
        int at = 0;

        while (at < n && !json_values_equal(json_value_of_jsonb(items[at]),
                                            json_value_of_jsonb(lfirst(cell))))
            at++;
        if (at == n)
            return lfirst(cell);
    }
    return llast(values);
}

/* For each position of a list, its values at that position, after plain items. */
static void
put_positions(ExampleSet *set)
{
    const Jsonb *items[MAX_POSITIONS + 1];
    int n = 0;
    ListCell *cell;

    foreach (cell, set->place->hints) {
        const JsonSchemaKeyword *prefix = ((const JsonSchemaNode *)lfirst(cell))->prefix_items;

        if (prefix)
            n = Max(n, Min(prefix->n, MAX_POSITIONS) + 1);
    }
    for (int i = 0; i < n; i++) {
        List *values = example_candidates(set, place_of_item(set, i), MAX_VALUES, n - i + 2);

        if (!values)
            return;
        foreach (cell, values) {
            items[i] = lfirst(cell);
            if (!example_put(set, build(items, i + 1)))
                return;
        }
        items[i] = unlike_others(items, i, values);
    }
}

void
example_put_arrays(ExampleSet *set)
{
    List *values = example_candidates(set, place_of_item(set, PG_INT32_MAX), MAX_VALUES, 4);

    put_positions(set);
    if (!values)
        return;
    put_short(set, values);
    put_lengths(set, values);
}
