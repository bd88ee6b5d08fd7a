/*
 * json_schema/compare/facts.c: collects what is known about an instance that passes a set of
 * subschemas. See facts.h.
 */
#include "extension/base/compat.h"

#include "miscadmin.h"

#include "extension/json/number.h"
#include "extension/json_schema/compare/facts.h"
#include "extension/json_schema/evaluate.h"

/* The most nodes that are collected for one instance; others are left out. */
#define MAX_NODES 200
/* How many members are checked to find out that no instance passes. */
#define MAX_EMPTY_MEMBERS 50
/* How many values are tried to find out that no instance passes. */
#define MAX_EMPTY_VALUES 200

#define BOOLEANS (JSON_KIND_BIT(JSON_TRUE) | JSON_KIND_BIT(JSON_FALSE))
#define NULLS JSON_KIND_BIT(JSON_NULL)

bool
facts_nodes_accept(List *nodes, JsonValue value)
{
    ListCell *cell;

    foreach (cell, nodes)
        if (!json_schema_interpret(lfirst(cell), value, NULL, NULL))
            return false;
    return true;
}

/* ---- what applies in place ---------------------------------------------------------- */

static List *
add_node(List *nodes, const JsonSchemaNode *node)
{
    if (!node || list_length(nodes) >= MAX_NODES || list_member_ptr(nodes, node))
        return nodes;
    return lappend(nodes, (void *)node);
}

static uint32
kinds_of_type(const JsonSchemaKeyword *keyword)
{
    uint32 kinds = keyword->types & JSON_KINDS_ALL;

    return keyword->types & TYPE_INTEGER ? kinds | JSON_KIND_BIT(JSON_NUMBER) : kinds;
}

static uint32
kinds_of_enum(const JsonSchemaKeyword *keyword)
{
    uint32 kinds = 0;

    for (int i = 0; i < keyword->n; i++)
        kinds |= JSON_KIND_BIT(keyword->names[i].kind);
    return kinds;
}

/*
 * Adds what one keyword says about the instance as a whole, and the nodes that the instance must
 * pass too.
 */
static void
sum_up_keyword(SchemaFacts *facts, const JsonSchemaKeyword *keyword)
{
    switch (keyword->kind) {
    case KEYWORD_TYPE:
        facts->kinds &= kinds_of_type(keyword);
        facts->is_integer |= (keyword->types & TYPE_INTEGER) != 0;
        return;
    case KEYWORD_CONST: facts->kinds &= JSON_KIND_BIT(keyword->value.kind); return;
    case KEYWORD_ENUM: facts->kinds &= kinds_of_enum(keyword); return;
    case KEYWORD_MULTIPLE_OF: facts->is_integer |= json_number_is_integer(keyword->value); return;
    case KEYWORD_REF:
    case KEYWORD_ALL_OF:
        for (int i = 0; i < keyword->n; i++)
            facts->nodes = add_node(facts->nodes, keyword->nodes[i]);
        return;
    case KEYWORD_MINIMUM: /* looked up where needed, or not true for every instance */
    case KEYWORD_MAXIMUM:
    case KEYWORD_EXCLUSIVE_MINIMUM:
    case KEYWORD_EXCLUSIVE_MAXIMUM:
    case ASSERTIONS_ON_STRINGS:
    case ASSERTIONS_ON_ARRAYS:
    case ASSERTIONS_ON_OBJECTS:
    case KEYWORD_DYNAMIC_REF:
    case KEYWORD_ANY_OF:
    case KEYWORD_ONE_OF:
    case KEYWORD_NOT:
    case KEYWORD_IF:
    case KEYWORD_DEPENDENT_SCHEMAS:
    case KEYWORD_DEPENDENCIES:
    case APPLICATORS_TO_MEMBERS:
    case APPLICATORS_TO_ITEMS:
    case APPLICATORS_TO_UNEVALUATED:
    case KEYWORD_ANNOTATION: return;
    case COMPILED_AWAY: json_schema_stray_keyword(keyword);
    }
}

SchemaFacts
facts_of(List *nodes, uint32 kinds)
{
    SchemaFacts facts = {NIL, kinds, false};
    ListCell *cell;

    foreach (cell, nodes)
        facts.nodes = add_node(facts.nodes, lfirst(cell));
    for (int at = 0; at < list_length(facts.nodes); at++) {
        const JsonSchemaNode *node = list_nth(facts.nodes, at);

        if (node->source.kind == JSON_FALSE)
            facts.kinds = 0;
        for (int i = 0; i < node->n_keywords; i++)
            sum_up_keyword(&facts, &node->keywords[i]);
    }
    return facts;
}

SchemaFacts
facts_and(const SchemaFacts *facts, const JsonSchemaNode *node)
{
    SchemaFacts both;

    if (!node)
        return *facts;
    both = facts_of(lappend(list_copy(facts->nodes), (void *)node), facts->kinds);
    both.is_integer |= facts->is_integer;
    return both;
}

/* ---- parts --------------------------------------------------------------------------- */

SchemaFacts
facts_of_member(const SchemaFacts *facts, JsonValue name)
{
    List *nodes = NIL;
    ListCell *cell;

    foreach (cell, facts->nodes) {
        const JsonSchemaNode *node = lfirst(cell);
        const JsonSchemaKeyword *patterns = node->pattern_properties;
        const JsonSchemaKeyword *additional =
            json_schema_keyword_of(node, KEYWORD_ADDITIONAL_PROPERTIES);
        int at = json_schema_index_of_name(node->properties, name);
        bool is_named = at >= 0;

        if (at >= 0)
            nodes = add_node(nodes, node->properties->nodes[at]);
        for (int i = 0; patterns && i < patterns->n; i++)
            if (regex_matches(patterns->patterns[i], name.data, name.length)) {
                nodes = add_node(nodes, patterns->nodes[i]);
                is_named = true;
            }
        if (!is_named && additional)
            nodes = add_node(nodes, additional->nodes[0]);
    }
    return facts_of(nodes, JSON_KINDS_ALL);
}

SchemaFacts
facts_of_item(const SchemaFacts *facts, int64 index)
{
    List *nodes = NIL;
    ListCell *cell;

    foreach (cell, facts->nodes) {
        const JsonSchemaNode *node = lfirst(cell);
        const JsonSchemaKeyword *items = json_schema_keyword_of(node, KEYWORD_ITEMS);

        if (node->prefix_items && index < node->prefix_items->n)
            nodes = add_node(nodes, node->prefix_items->nodes[index]);
        else if (items)
            nodes = add_node(nodes, items->nodes[0]);
    }
    return facts_of(nodes, JSON_KINDS_ALL);
}

int64
facts_least_count(const SchemaFacts *facts, JsonSchemaKeywordKind kind)
{
    int64 least = 0;
    ListCell *cell;

    foreach (cell, facts->nodes) {
        const JsonSchemaKeyword *keyword = json_schema_keyword_of(lfirst(cell), kind);

        if (keyword)
            least = Max(least, keyword->count);
    }
    return least;
}

int64
facts_most_count(const SchemaFacts *facts, JsonSchemaKeywordKind kind)
{
    int64 most = PG_INT64_MAX;
    ListCell *cell;

    foreach (cell, facts->nodes) {
        const JsonSchemaKeyword *keyword = json_schema_keyword_of(lfirst(cell), kind);

        if (keyword)
            most = Min(most, keyword->count);
    }
    return most;
}

static bool
is_name(JsonValue a, JsonValue b)
{
    return json_compare_keys(a.data, a.length, b.data, b.length) == 0;
}

bool
facts_require(const SchemaFacts *facts, JsonValue name, int guess)
{
    ListCell *cell;

    foreach (cell, facts->nodes) {
        const JsonSchemaKeyword *required = json_schema_keyword_of(lfirst(cell), KEYWORD_REQUIRED);

        if (required && guess < required->n && is_name(required->names[guess], name))
            return true;
        for (int i = 0; required && i < required->n; i++)
            if (is_name(required->names[i], name))
                return true;
    }
    return false;
}

/* ---- few or no instances --------------------------------------------------------------- */

bool
facts_are_finite(const SchemaFacts *facts, const JsonValue **values, int *n)
{
    static const JsonValue plain[] = {
        {NULL, 0, JSON_NULL}, {NULL, 0, JSON_TRUE}, {NULL, 0, JSON_FALSE}};
    ListCell *cell;
    bool is_found = (facts->kinds & ~(BOOLEANS | NULLS)) == 0;

    *values = plain;
    *n = lengthof(plain);
    foreach (cell, facts->nodes) {
        const JsonSchemaNode *node = lfirst(cell);

        for (int i = 0; i < node->n_keywords; i++) {
            const JsonSchemaKeyword *keyword = &node->keywords[i];

            if (keyword->kind == KEYWORD_CONST) {
                *values = &keyword->value;
                *n = 1;
                return true;
            }
            if (keyword->kind == KEYWORD_ENUM && (!is_found || keyword->n < *n)) {
                *values = keyword->names;
                *n = keyword->n;
                is_found = true;
            }
        }
    }
    return is_found;
}

/* Whether only a few values are possible and none of them passes. */
static bool
has_no_value(const SchemaFacts *facts)
{
    const JsonValue *values;
    int n;

    if (facts->kinds == 0)
        return true;
    if (!facts_are_finite(facts, &values, &n) || n > MAX_EMPTY_VALUES)
        return false;
    for (int i = 0; i < n; i++)
        if ((facts->kinds & JSON_KIND_BIT(values[i].kind)) &&
            facts_nodes_accept(facts->nodes, values[i]))
            return false;
    return true;
}

bool
facts_are_empty(const SchemaFacts *facts)
{
    ListCell *cell;
    int n = 0;

    if (has_no_value(facts))
        return true;
    if (facts->kinds == JSON_KIND_BIT(JSON_STRING))
        return facts_least_count(facts, KEYWORD_MIN_LENGTH) >
               facts_most_count(facts, KEYWORD_MAX_LENGTH);
    if (facts->kinds != JSON_KIND_BIT(JSON_OBJECT))
        return false;
    foreach (cell, facts->nodes) {
        const JsonSchemaKeyword *required = json_schema_keyword_of(lfirst(cell), KEYWORD_REQUIRED);

        for (int i = 0; required && i < required->n && n < MAX_EMPTY_MEMBERS; i++, n++) {
            SchemaFacts member = facts_of_member(facts, required->names[i]);

            CHECK_FOR_INTERRUPTS();
            if (has_no_value(&member))
                return true;
        }
    }
    return false;
}
