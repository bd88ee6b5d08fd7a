/*
 * json_schema/compare/example_object.c: makes objects as candidates for an example.
 *
 * First some plain objects: the members that the old schema requires, alone and with each of its
 * alternatives, and all members at once. Then objects that differ from these in one member, in
 * two, or in the number of members. One recursion with example.c, split by size.
 */
#include "extension/base/compat.h"

#include "miscadmin.h"

#include "extension/json_schema/compare/example.h"

/*
 * How many names are tried. Names about which the two schemas differ, or about which only one
 * says something, come first.
 */
#define MAX_NAMES 300
/* How many plain objects are made. */
#define MAX_BASES 12
/* How many values are tried for one member, and for each of two. */
#define MAX_VALUES 12
#define MAX_PAIR_VALUES 4
#define MAX_PAIRED_NAMES 10
/* The most members that are made for a bound. */
#define MAX_MEMBERS 300

static bool
is_exhausted(const ExampleSet *set)
{
    return set->search->work_left <= set->work_limit;
}

typedef struct Members {
    JsonValue *names;
    const Jsonb **values;
    int n;
} Members;

static Jsonb *
build(const Members *members, const JsonValue *skipped)
{
    JsonbParseState *state = NULL;

    pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
    for (int i = 0; i < members->n; i++) {
        JsonbValue key = {.type = jbvString};
        JsonbValue value = example_part(members->values[i]);

        if (skipped && members->names[i].data == skipped->data)
            continue;
        key.val.string.val = (char *)members->names[i].data;
        key.val.string.len = members->names[i].length;
        pushJsonbValue(&state, WJB_KEY, &key);
        pushJsonbValue(&state, WJB_VALUE, &value);
    }
    return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* Adds a member, or replaces the one with the same name. */
static void
set_member(Members *members, JsonValue name, const Jsonb *value)
{
    int at = 0;

    while (at < members->n && json_compare_keys(members->names[at].data, members->names[at].length,
                                                name.data, name.length) != 0)
        at++;
    if (at == members->n) {
        int n = members->n + 1;

        members->names = members->names ? repalloc(members->names, sizeof(JsonValue) * n)
                                        : palloc(sizeof(JsonValue));
        members->values = members->values ? repalloc(members->values, sizeof(Jsonb *) * n)
                                          : palloc(sizeof(Jsonb *));
        members->n = n;
        members->names[at] = name;
    }
    members->values[at] = value;
}

static Members
copy_of(const Members *members)
{
    Members copy = {NULL, NULL, 0};

    for (int i = 0; i < members->n; i++)
        set_member(&copy, members->names[i], members->values[i]);
    return copy;
}

/* ---- names ---------------------------------------------------------------------------- */

typedef struct Names {
    JsonValue names[MAX_NAMES];
    int n;
} Names;

static void
add_name(Names *names, JsonValue name)
{
    for (int i = 0; i < names->n; i++)
        if (json_compare_keys(names->names[i].data, names->names[i].length, name.data,
                              name.length) == 0)
            return;
    if (names->n < MAX_NAMES && name.kind == JSON_STRING)
        names->names[names->n++] = name;
}

/* Whether another node among those that may matter says exactly the same about the name. */
static bool
is_said_twice(const ExamplePlace *place, const JsonSchemaNode *node, int at)
{
    JsonValue name = node->properties->names[at];
    ListCell *cell;

    foreach (cell, place->hints) {
        const JsonSchemaNode *other = lfirst(cell);
        int index = json_schema_index_of_name(other->properties, name);

        if (other != node && other->properties && index >= 0 &&
            json_values_equal(other->properties->nodes[index]->source,
                              node->properties->nodes[at]->source))
            return true;
    }
    return false;
}

static void
add_listed_names(Names *names, JsonValue list)
{
    JsonWalk walk = json_walk_array(list);

    while (!json_walk_ended(&walk) && names->n < MAX_NAMES)
        add_name(names, json_walk_next(&walk));
}

static void
add_names_of_keyword(Names *names, const JsonSchemaKeyword *keyword)
{
    switch (keyword->kind) {
    case KEYWORD_DEPENDENT_REQUIRED:
    case KEYWORD_DEPENDENT_SCHEMAS:
    case KEYWORD_DEPENDENCIES:
    case KEYWORD_REQUIRED:
        for (int i = 0; i < keyword->n && i < MAX_NAMES; i++) {
            add_name(names, keyword->names[i]);
            if (keyword->lists && keyword->lists[i].kind == JSON_ARRAY)
                add_listed_names(names, keyword->lists[i]);
        }
        break;
    case KEYWORD_PATTERN_PROPERTIES:
        for (int i = 0; i < keyword->n && i < MAX_NAMES; i++) {
            List *strings =
                example_strings_of_pattern(keyword->names[i].data, keyword->names[i].length);

            for (int j = 0; j < list_length(strings) && j < 3; j++)
                add_name(names, example_name(((StringInfo)list_nth(strings, j))->data));
        }
        break;
    case KEYWORD_PROPERTIES:     /* add_properties */
    case KEYWORD_PROPERTY_NAMES: /* add_names_by_schema */
    case KEYWORD_MIN_PROPERTIES:
    case KEYWORD_MAX_PROPERTIES:
    case KEYWORD_ADDITIONAL_PROPERTIES:
    case KEYWORD_REF:
    case KEYWORD_DYNAMIC_REF:
    case KEYWORD_ALL_OF:
    case KEYWORD_ANY_OF:
    case KEYWORD_ONE_OF:
    case KEYWORD_NOT:
    case KEYWORD_IF:
    case ASSERTIONS_ON_ANYTHING:
    case ASSERTIONS_ON_STRINGS:
    case ASSERTIONS_ON_NUMBERS:
    case ASSERTIONS_ON_ARRAYS:
    case APPLICATORS_TO_ITEMS:
    case APPLICATORS_TO_UNEVALUATED:
    case KEYWORD_ANNOTATION: break;
    case COMPILED_AWAY: json_schema_stray_keyword(keyword);
    }
}

static void
add_properties(Names *names, const ExamplePlace *place, bool is_said_twice_wanted)
{
    ListCell *cell;

    foreach (cell, place->hints) {
        const JsonSchemaNode *node = lfirst(cell);
        const JsonSchemaKeyword *properties = node->properties;

        for (int i = 0; properties && i < properties->n && names->n < MAX_NAMES; i++) {
            CHECK_FOR_INTERRUPTS();
            if (is_said_twice(place, node, i) == is_said_twice_wanted)
                add_name(names, properties->names[i]);
        }
    }
}

/* Names that "propertyNames" accepts, and names that it rejects. */
static void
add_names_by_schema(Names *names, ExampleSet *set)
{
    ListCell *cell;
    List *hints = NIL;
    SchemaFacts strings = facts_of(NIL, JSON_KIND_BIT(JSON_STRING));

    foreach (cell, set->place->hints) {
        const JsonSchemaKeyword *keyword =
            json_schema_keyword_of(lfirst(cell), KEYWORD_PROPERTY_NAMES);

        if (keyword)
            hints = lappend(hints, keyword->nodes[0]);
    }
    if (!hints)
        return;
    foreach (cell, example_candidates(
                       set, example_place(strings, strings, hints, set->place->depth + 1), 40, 8))
        add_name(names, json_value_of_jsonb(lfirst(cell)));
}

static Names *
names_of(ExampleSet *set)
{
    Names *names = palloc0(sizeof(Names));
    ListCell *cell;

    add_properties(names, set->place, false);
    foreach (cell, set->place->hints) {
        const JsonSchemaNode *node = lfirst(cell);

        for (int i = 0; i < node->n_keywords; i++)
            add_names_of_keyword(names, &node->keywords[i]);
    }
    add_names_by_schema(names, set);
    add_name(names, example_name("x"));
    add_name(names, example_name("other"));
    add_properties(names, set->place, true);
    return names;
}

/* ---- members ----------------------------------------------------------------------------- */

static ExamplePlace
place_of_member(ExampleSet *set, const SchemaFacts *old_facts, JsonValue name)
{
    SchemaFacts new_facts = facts_of_member(&set->place->new_facts, name);
    SchemaFacts all = {set->place->hints, JSON_KINDS_ALL, false};
    SchemaFacts hints = facts_of_member(&all, name);
    ListCell *cell;

    /* Looking up the name costs about as much as judging a candidate. */
    set->search->work_left -= Min(set->place->cost, set->search->work_left);
    foreach (cell, set->place->hints) {
        const JsonSchemaKeyword *keyword =
            json_schema_keyword_of(lfirst(cell), KEYWORD_UNEVALUATED_PROPERTIES);

        if (keyword)
            hints.nodes = lappend(hints.nodes, keyword->nodes[0]);
    }
    return example_place(facts_of_member(old_facts, name), new_facts, hints.nodes,
                         set->place->depth + 1);
}

/* The members that the facts require, and more of them until the smallest count is reached. */
static Members
base_of(ExampleSet *set, const SchemaFacts *facts, const Names *names)
{
    Members base = {NULL, NULL, 0};
    int64 least = Min(facts_least_count(facts, KEYWORD_MIN_PROPERTIES), MAX_MEMBERS);
    ListCell *cell;

    foreach (cell, facts->nodes) {
        const JsonSchemaKeyword *required = json_schema_keyword_of(lfirst(cell), KEYWORD_REQUIRED);

        for (int i = 0; required && i < required->n && base.n < MAX_MEMBERS; i++) {
            JsonValue name = required->names[i];
            Jsonb *value;

            if (is_exhausted(set))
                return base;
            value = example_neutral(set, place_of_member(set, facts, name));
            if (value)
                set_member(&base, name, value);
        }
    }
    for (int i = 0; i < names->n && base.n < least && !is_exhausted(set); i++) {
        Jsonb *value = example_neutral(set, place_of_member(set, facts, names->names[i]));

        if (value)
            set_member(&base, names->names[i], value);
    }
    return base;
}

/* ---- what is tried --------------------------------------------------------------------- */

/* Adds members one after the other, and tries the counts around each bound. */
static void
put_numbers(ExampleSet *set, const Members *base)
{
    Members more = copy_of(base);
    int64 most = 0;
    ListCell *cell;

    foreach (cell, set->place->hints) {
        const JsonSchemaKeyword *least =
            json_schema_keyword_of(lfirst(cell), KEYWORD_MIN_PROPERTIES);
        const JsonSchemaKeyword *limit =
            json_schema_keyword_of(lfirst(cell), KEYWORD_MAX_PROPERTIES);

        if (least)
            most = Max(most, Min(least->count, MAX_MEMBERS) + 1);
        if (limit)
            most = Max(most, Min(limit->count, MAX_MEMBERS) + 1);
    }
    most = Min(most, MAX_MEMBERS);
    while (more.n < most && !is_exhausted(set)) {
        JsonValue name = example_name(psprintf("x%d", more.n));
        Jsonb *value = example_neutral(set, place_of_member(set, &set->place->old_facts, name));

        if (!value)
            return;
        set_member(&more, name, value);
        if (!example_put(set, build(&more, NULL)))
            return;
    }
}

static void
put_without_each(ExampleSet *set, const Members *members)
{
    for (int i = 0; i < members->n; i++)
        if (!example_put(set, build(members, &members->names[i])))
            return;
}

static void
put_with_each(ExampleSet *set, const Members *base, JsonValue name, List *values)
{
    ListCell *cell;

    foreach (cell, values) {
        Members members = copy_of(base);

        set_member(&members, name, lfirst(cell));
        if (!example_put(set, build(&members, NULL)))
            return;
    }
}

/* Tries two members that depend on each other. */
static void
put_pairs(ExampleSet *set, const Members *base, const Names *names, List **values)
{
    int n = Min(names->n, MAX_PAIRED_NAMES);

    for (int i = 0; i < n; i++)
        for (int k = 0; k < list_length(values[i]) && k < MAX_PAIR_VALUES; k++) {
            Members members = copy_of(base);

            set_member(&members, names->names[i], list_nth(values[i], k));
            for (int j = 0; j < n; j++)
                if (j != i)
                    put_with_each(set, &members, names->names[j],
                                  list_truncate(list_copy(values[j]), MAX_PAIR_VALUES));
        }
}

static void
put_bases(ExampleSet *set, const Members *bases, int n_bases, const Names *names)
{
    Members full = copy_of(&bases[0]);
    List **values = palloc0(sizeof(List *) * Max(names->n, 1));

    for (int i = 0; i < n_bases; i++) {
        example_put(set, build(&bases[i], NULL));
        put_without_each(set, &bases[i]);
        put_numbers(set, &bases[i]);
    }
    for (int i = 0; i < names->n && !is_exhausted(set); i++) {
        JsonValue name = names->names[i];

        values[i] = example_candidates(set, place_of_member(set, &set->place->old_facts, name),
                                       MAX_VALUES, Min(names->n - i + 2, 30));
        for (int j = 0; j < n_bases; j++)
            put_with_each(set, &bases[j], name, values[i]);
        if (values[i] && full.n < MAX_MEMBERS)
            set_member(&full, name, llast(values[i]));
    }
    example_put(set, build(&full, NULL));
    put_without_each(set, &full);
    for (int i = 0; i < n_bases && i < 4; i++)
        put_pairs(set, &bases[i], names, values);
}

void
example_put_objects(ExampleSet *set)
{
    const SchemaFacts *facts = &set->place->old_facts;
    Names *names = names_of(set);
    Members bases[MAX_BASES];
    int n_bases = 0;
    ListCell *cell;

    bases[n_bases++] = base_of(set, facts, names);
    foreach (cell, set->place->hints) {
        SchemaFacts with = facts_and(facts, lfirst(cell));

        if (n_bases == MAX_BASES)
            break;
        if (list_length(with.nodes) > list_length(facts->nodes) &&
            json_schema_keyword_of(lfirst(cell), KEYWORD_REQUIRED))
            bases[n_bases++] = base_of(set, &with, names);
    }
    put_bases(set, bases, n_bases, names);
}
