/*
 * json_schema/compare/cover_assert.c: proves the keywords that hold no subschemas.
 */
#include "extension/base/compat.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "extension/json/number.h"
#include "extension/json_schema/compare/cover.h"

/*
 * Whether the known keyword, one of the facts, implies the asked one. Both are of the kind that
 * this function compares.
 */
typedef bool (*Implies)(const JsonSchemaKeyword *known, const JsonSchemaKeyword *asked);

static bool
any_implies(const SchemaFacts *facts, JsonSchemaKeywordKind kind, Implies implies,
            const JsonSchemaKeyword *asked)
{
    ListCell *cell;

    foreach (cell, facts->nodes) {
        const JsonSchemaKeyword *known = json_schema_keyword_of(lfirst(cell), kind);

        if (known && implies(known, asked))
            return true;
    }
    return false;
}

static bool
is_equal(const JsonSchemaKeyword *known, const JsonSchemaKeyword *asked)
{
    return json_values_equal(known->value, asked->value);
}

static bool
is_same_format(const JsonSchemaKeyword *known, const JsonSchemaKeyword *asked)
{
    return known->format == asked->format;
}

static bool
is_above(const JsonSchemaKeyword *known, const JsonSchemaKeyword *asked)
{
    return json_number_compare(known->value, asked->value) > 0;
}

static bool
is_at_least(const JsonSchemaKeyword *known, const JsonSchemaKeyword *asked)
{
    return json_number_compare(known->value, asked->value) >= 0;
}

static bool
is_below(const JsonSchemaKeyword *known, const JsonSchemaKeyword *asked)
{
    return json_number_compare(known->value, asked->value) < 0;
}

static bool
is_at_most(const JsonSchemaKeyword *known, const JsonSchemaKeyword *asked)
{
    return json_number_compare(known->value, asked->value) <= 0;
}

static bool
is_multiple(const JsonSchemaKeyword *known, const JsonSchemaKeyword *asked)
{
    return json_number_is_multiple(known->value, asked->value);
}

static bool
covers_type(const JsonSchemaKeyword *keyword, const SchemaFacts *facts)
{
    uint32 missing = facts->kinds & ~keyword->types;

    if (keyword->types & TYPE_INTEGER && facts->is_integer)
        missing &= ~JSON_KIND_BIT(JSON_NUMBER);
    return missing == 0;
}

/* Whether every string matches the pattern. */
static bool
matches_everything(JsonValue pattern)
{
    return pattern.length == 0 || json_string_equals(pattern, ".*") ||
           json_string_equals(pattern, "^") || json_string_equals(pattern, "^.*") ||
           json_string_equals(pattern, "$");
}

static bool
covers_multiple(const JsonSchemaKeyword *keyword, const SchemaFacts *facts)
{
    JsonValue one = {DatumGetPointer(DirectFunctionCall1(int4_numeric, Int32GetDatum(1))), 0,
                     JSON_NUMBER};

    return any_implies(facts, KEYWORD_MULTIPLE_OF, is_multiple, keyword) ||
           (facts->is_integer && json_number_is_multiple(one, keyword->value));
}

/* ---- sizes --------------------------------------------------------------------------- */

static int64
count_required(const SchemaFacts *facts)
{
    int64 most = 0;
    ListCell *cell;

    foreach (cell, facts->nodes) {
        const JsonSchemaKeyword *required = json_schema_keyword_of(lfirst(cell), KEYWORD_REQUIRED);

        if (required && json_items_are_unique(required->value))
            most = Max(most, required->n);
    }
    return most;
}

/* The most members that an object can have if members with other names are not allowed. */
static int64
most_members(const SchemaFacts *facts)
{
    int64 most = facts_most_count(facts, KEYWORD_MAX_PROPERTIES);
    ListCell *cell;

    foreach (cell, facts->nodes) {
        const JsonSchemaNode *node = lfirst(cell);
        const JsonSchemaKeyword *additional =
            json_schema_keyword_of(node, KEYWORD_ADDITIONAL_PROPERTIES);

        if (additional && additional->nodes[0]->source.kind == JSON_FALSE &&
            (!node->pattern_properties || node->pattern_properties->n == 0))
            most = Min(most, node->properties ? node->properties->n : 0);
    }
    return most;
}

static int64
most_items(const SchemaFacts *facts)
{
    int64 most = facts_most_count(facts, KEYWORD_MAX_ITEMS);
    ListCell *cell;

    foreach (cell, facts->nodes) {
        const JsonSchemaNode *node = lfirst(cell);
        const JsonSchemaKeyword *items = json_schema_keyword_of(node, KEYWORD_ITEMS);

        if (items && items->nodes[0]->source.kind == JSON_FALSE)
            most = Min(most, node->prefix_items ? node->prefix_items->n : 0);
    }
    return most;
}

static bool
covers_unique(const JsonSchemaKeyword *keyword, const SchemaFacts *facts)
{
    return keyword->value.kind == JSON_FALSE || most_items(facts) <= 1 ||
           any_implies(facts, KEYWORD_UNIQUE_ITEMS, is_equal, keyword);
}

static bool
covers_required(Cover *cover, const JsonSchemaKeyword *keyword, const SchemaFacts *facts)
{
    for (int i = 0; i < keyword->n; i++)
        if (!cover_spend(cover, 1) || !facts_require(facts, keyword->names[i], i))
            return false;
    return true;
}

bool
cover_assertion(Cover *cover, const JsonSchemaKeyword *keyword, const SchemaFacts *facts)
{
    int64 n = keyword->count;

    switch (keyword->kind) {
    case KEYWORD_TYPE: return covers_type(keyword, facts);
    case KEYWORD_MIN_LENGTH: return facts_least_count(facts, KEYWORD_MIN_LENGTH) >= n;
    case KEYWORD_MAX_LENGTH: return facts_most_count(facts, KEYWORD_MAX_LENGTH) <= n;
    case KEYWORD_PATTERN:
        return matches_everything(keyword->value) ||
               any_implies(facts, KEYWORD_PATTERN, is_equal, keyword);
    case KEYWORD_FORMAT: return any_implies(facts, KEYWORD_FORMAT, is_same_format, keyword);
    case KEYWORD_MINIMUM:
        return any_implies(facts, KEYWORD_MINIMUM, is_at_least, keyword) ||
               any_implies(facts, KEYWORD_EXCLUSIVE_MINIMUM, is_at_least, keyword);
    case KEYWORD_EXCLUSIVE_MINIMUM:
        return any_implies(facts, KEYWORD_MINIMUM, is_above, keyword) ||
               any_implies(facts, KEYWORD_EXCLUSIVE_MINIMUM, is_at_least, keyword);
    case KEYWORD_MAXIMUM:
        return any_implies(facts, KEYWORD_MAXIMUM, is_at_most, keyword) ||
               any_implies(facts, KEYWORD_EXCLUSIVE_MAXIMUM, is_at_most, keyword);
    case KEYWORD_EXCLUSIVE_MAXIMUM:
        return any_implies(facts, KEYWORD_MAXIMUM, is_below, keyword) ||
               any_implies(facts, KEYWORD_EXCLUSIVE_MAXIMUM, is_at_most, keyword);
    case KEYWORD_MULTIPLE_OF: return covers_multiple(keyword, facts);
    case KEYWORD_MIN_ITEMS: return facts_least_count(facts, KEYWORD_MIN_ITEMS) >= n;
    case KEYWORD_MAX_ITEMS: return most_items(facts) <= n;
    case KEYWORD_UNIQUE_ITEMS: return covers_unique(keyword, facts);
    case KEYWORD_MIN_PROPERTIES:
        return facts_least_count(facts, KEYWORD_MIN_PROPERTIES) >= n || count_required(facts) >= n;
    case KEYWORD_MAX_PROPERTIES: return most_members(facts) <= n;
    case KEYWORD_REQUIRED: return covers_required(cover, keyword, facts);
    case KEYWORD_ENUM: /* if the facts leave few values, all are tried instead */
    case KEYWORD_CONST: return false;
    case KEYWORD_DEPENDENT_REQUIRED:
    case APPLICATORS_IN_PLACE:
    case APPLICATORS_TO_MEMBERS:
    case APPLICATORS_TO_ITEMS:
    case APPLICATORS_TO_UNEVALUATED:
    case KEYWORD_ANNOTATION:
    case COMPILED_AWAY: break;
    }
    json_schema_stray_keyword(keyword);
}
