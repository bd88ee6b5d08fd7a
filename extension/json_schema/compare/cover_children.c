/*
 * json_schema/compare/cover_children.c: proves the keywords about members of objects and items of
 * arrays. One recursion with cover.c, split by size.
 */
#include "extension/base/compat.h"

#include "utils/memutils.h"

#include "extension/json_schema/compare/cover.h"

#define ITEM_OF_NO_LIST PG_INT32_MAX
/* In lists of items, only this many positions are compared one by one. */
#define MAX_POSITIONS 1000

/* ---- members ------------------------------------------------------------------------ */

/* Whether the member with that name, if there is one, passes the node. */
static bool
covers_member(Cover *cover, const JsonSchemaNode *node, const SchemaFacts *facts, JsonValue name)
{
    MemoryContext scratch =
        AllocSetContextCreate(CurrentMemoryContext, "JSON Schema member", ALLOCSET_SMALL_SIZES);
    MemoryContext caller = MemoryContextSwitchTo(scratch);
    SchemaFacts member = facts_of_member(facts, name);
    bool is_covered = cover_spend(cover, 1) && cover_part(cover, node, &member);

    MemoryContextSwitchTo(caller);
    MemoryContextDelete(scratch);
    return is_covered;
}

static bool
covers_properties(Cover *cover, const JsonSchemaKeyword *keyword, const SchemaFacts *facts)
{
    for (int i = 0; i < keyword->n; i++)
        if (!covers_member(cover, keyword->nodes[i], facts, keyword->names[i]))
            return false;
    return true;
}

static bool
covers_part_of(Cover *cover, const JsonSchemaNode *node, const JsonSchemaNode *known)
{
    SchemaFacts facts;

    if (!known)
        return node->source.kind == JSON_TRUE;
    facts = facts_of(list_make1((void *)known), JSON_KINDS_ALL);
    return cover_part(cover, node, &facts);
}

/*
 * The members that a keyword applies to: those that match its pattern, or those that are left
 * over by "properties" and "patternProperties".
 */
typedef struct Members {
    const JsonSchemaNode *owner;     /* has the keyword; tells which members are left over */
    const JsonSchemaKeyword *source; /* patternProperties, at "index"; NULL for those left over */
    int index;
} Members;

static bool
has_pattern(const JsonSchemaKeyword *patterns, JsonValue pattern)
{
    for (int i = 0; patterns && i < patterns->n; i++)
        if (patterns->names[i].length == pattern.length &&
            memcmp(patterns->names[i].data, pattern.data, pattern.length) == 0)
            return true;
    return false;
}

static bool
speaks_of(const Members *members, JsonValue name)
{
    if (members->source)
        return regex_matches(members->source->patterns[members->index], name.data, name.length);
    return json_schema_index_of_name(members->owner->properties, name) < 0 &&
           !json_schema_matches_pattern(members->owner->pattern_properties, name);
}

/*
 * Whether the known node alone is enough for all these members, with its properties,
 * patternProperties and additionalProperties. For the names that it lists in "properties", all
 * facts are used.
 */
static bool
covers_by(Cover *cover, const JsonSchemaNode *node, const Members *members,
          const SchemaFacts *facts, const JsonSchemaNode *known)
{
    const JsonSchemaKeyword *properties = known->properties;
    const JsonSchemaKeyword *patterns = known->pattern_properties;
    const JsonSchemaKeyword *additional =
        json_schema_keyword_of(known, KEYWORD_ADDITIONAL_PROPERTIES);

    if (!covers_part_of(cover, node, additional ? additional->nodes[0] : NULL))
        return false;
    for (int i = 0; patterns && i < patterns->n; i++) {
        /* A member that matches this pattern is not left over. */
        if (!members->source && has_pattern(members->owner->pattern_properties, patterns->names[i]))
            continue;
        if (!covers_part_of(cover, node, patterns->nodes[i]))
            return false;
    }
    for (int i = 0; properties && i < properties->n; i++)
        if (speaks_of(members, properties->names[i]) &&
            !covers_member(cover, node, facts, properties->names[i]))
            return false;
    return true;
}

/* Whether the known node has the same pattern, with a schema that is enough. */
static bool
covers_by_pattern(Cover *cover, const JsonSchemaNode *node, const Members *members,
                  const JsonSchemaNode *known)
{
    const JsonSchemaKeyword *patterns = members->source ? known->pattern_properties : NULL;
    JsonValue pattern;

    for (int i = 0; patterns && i < patterns->n; i++) {
        pattern = members->source->names[members->index];
        if (patterns->names[i].length == pattern.length &&
            memcmp(patterns->names[i].data, pattern.data, pattern.length) == 0)
            return covers_part_of(cover, node, patterns->nodes[i]);
    }
    return false;
}

static bool
covers_members(Cover *cover, const JsonSchemaNode *node, const Members *members,
               const SchemaFacts *facts)
{
    ListCell *cell;

    if (node->source.kind == JSON_TRUE)
        return true;
    foreach (cell, facts->nodes)
        if (covers_by_pattern(cover, node, members, lfirst(cell)) ||
            covers_by(cover, node, members, facts, lfirst(cell)))
            return true;
    return false;
}

static bool
covers_patterns(Cover *cover, const JsonSchemaNode *owner, const JsonSchemaKeyword *keyword,
                const SchemaFacts *facts)
{
    for (int i = 0; i < keyword->n; i++) {
        Members members = {owner, keyword, i};

        if (!covers_members(cover, keyword->nodes[i], &members, facts))
            return false;
    }
    return true;
}

/* ---- names --------------------------------------------------------------------------- */

static bool
covers_names_by(Cover *cover, const JsonSchemaNode *node, const JsonSchemaNode *known)
{
    const JsonSchemaKeyword *names = json_schema_keyword_of(known, KEYWORD_PROPERTY_NAMES);
    const JsonSchemaKeyword *additional =
        json_schema_keyword_of(known, KEYWORD_ADDITIONAL_PROPERTIES);
    const JsonSchemaKeyword *properties = known->properties;
    List *nodes = names ? list_make1(names->nodes[0]) : NIL;
    SchemaFacts facts = facts_of(nodes, JSON_KIND_BIT(JSON_STRING));

    if (cover_part(cover, node, &facts))
        return true;
    if (!additional || additional->nodes[0]->source.kind != JSON_FALSE ||
        (known->pattern_properties && known->pattern_properties->n > 0))
        return false;
    nodes = list_make1((void *)node);
    for (int i = 0; properties && i < properties->n; i++)
        if (!cover_spend(cover, 1) || !facts_nodes_accept(nodes, properties->names[i]))
            return false;
    return true;
}

static bool
covers_names(Cover *cover, const JsonSchemaNode *node, const SchemaFacts *facts)
{
    ListCell *cell;

    foreach (cell, facts->nodes)
        if (covers_names_by(cover, node, lfirst(cell)))
            return true;
    return false;
}

/* ---- what a member asks for ---------------------------------------------------------- */

static bool
is_impossible(const SchemaFacts *facts, JsonValue name)
{
    SchemaFacts member = facts_of_member(facts, name);

    return facts_are_empty(&member);
}

/* Whether the facts imply that an object with "name" also has "wanted". */
static bool
brings(const SchemaFacts *facts, JsonValue name, JsonValue wanted)
{
    static const JsonSchemaKeywordKind kinds[] = {KEYWORD_DEPENDENT_REQUIRED, KEYWORD_DEPENDENCIES};
    ListCell *cell;

    if (json_compare_keys(name.data, name.length, wanted.data, wanted.length) == 0 ||
        facts_require(facts, wanted, 0))
        return true;
    foreach (cell, facts->nodes)
        for (int i = 0; i < (int)lengthof(kinds); i++) {
            const JsonSchemaKeyword *known = json_schema_keyword_of(lfirst(cell), kinds[i]);
            int at = json_schema_index_of_name(known, name);
            JsonWalk walk;

            if (at < 0 || (known->nodes && known->nodes[at]))
                continue;
            walk = json_walk_array(known->lists[at]);
            while (!json_walk_ended(&walk)) {
                JsonValue other = json_walk_next(&walk);

                if (json_compare_keys(other.data, other.length, wanted.data, wanted.length) == 0)
                    return true;
            }
        }
    return false;
}

static bool
brings_all(Cover *cover, const SchemaFacts *facts, JsonValue name, JsonValue list)
{
    JsonWalk walk = json_walk_array(list);

    while (!json_walk_ended(&walk))
        if (!cover_spend(cover, 1) || !brings(facts, name, json_walk_next(&walk)))
            return false;
    return true;
}

/* All facts about an object that has that member. */
static SchemaFacts
facts_with(const SchemaFacts *facts, JsonValue name)
{
    static const JsonSchemaKeywordKind kinds[] = {KEYWORD_DEPENDENT_SCHEMAS, KEYWORD_DEPENDENCIES};
    SchemaFacts with = *facts;
    ListCell *cell;

    foreach (cell, facts->nodes)
        for (int i = 0; i < (int)lengthof(kinds); i++) {
            const JsonSchemaKeyword *known = json_schema_keyword_of(lfirst(cell), kinds[i]);
            int at = json_schema_index_of_name(known, name);

            if (at >= 0 && known->nodes[at])
                with = facts_and(&with, known->nodes[at]);
        }
    return with;
}

static bool
covers_dependent(Cover *cover, const JsonSchemaKeyword *keyword, const SchemaFacts *facts)
{
    for (int i = 0; i < keyword->n; i++) {
        JsonValue name = keyword->names[i];

        if (is_impossible(facts, name))
            continue;
        if (keyword->nodes && keyword->nodes[i]) {
            SchemaFacts with = facts_with(facts, name);

            if (!cover_node(cover, keyword->nodes[i], &with))
                return false;
        } else if (!brings_all(cover, facts, name, keyword->lists[i])) {
            return false;
        }
    }
    return true;
}

/* ---- items ---------------------------------------------------------------------------- */

static bool
covers_item(Cover *cover, const JsonSchemaNode *node, const SchemaFacts *facts, int64 index)
{
    SchemaFacts item;

    if (facts_most_count(facts, KEYWORD_MAX_ITEMS) <= index && index != ITEM_OF_NO_LIST)
        return true;
    item = facts_of_item(facts, index);
    return cover_spend(cover, 1) && cover_part(cover, node, &item);
}

static bool
covers_prefix(Cover *cover, const JsonSchemaKeyword *keyword, const SchemaFacts *facts)
{
    for (int i = 0; i < keyword->n; i++)
        if (!covers_item(cover, keyword->nodes[i], facts, i))
            return false;
    return true;
}

static bool
covers_rest(Cover *cover, const JsonSchemaNode *owner, const JsonSchemaNode *node,
            const SchemaFacts *facts)
{
    int64 first = owner->prefix_items ? owner->prefix_items->n : 0;
    int64 end = first;
    ListCell *cell;

    foreach (cell, facts->nodes) {
        const JsonSchemaKeyword *prefix = ((const JsonSchemaNode *)lfirst(cell))->prefix_items;

        if (prefix)
            end = Max(end, prefix->n);
    }
    if (end - first > MAX_POSITIONS)
        return false;
    for (int64 i = first; i < end; i++)
        if (!covers_item(cover, node, facts, i))
            return false;
    return facts_most_count(facts, KEYWORD_MAX_ITEMS) <= end ||
           covers_item(cover, node, facts, ITEM_OF_NO_LIST);
}

/*
 * Enough items match if this "contains" follows from a known one that asks for at least as many.
 * Not too many match if it implies a known one whose limit is not higher.
 */
static bool
covers_contains(Cover *cover, const JsonSchemaKeyword *keyword, const SchemaFacts *facts)
{
    bool is_limited = keyword->max_count != PG_INT64_MAX &&
                      facts_most_count(facts, KEYWORD_MAX_ITEMS) > keyword->max_count;
    bool has_enough = keyword->count <= 0;
    ListCell *cell;

    foreach (cell, facts->nodes) {
        const JsonSchemaKeyword *known = json_schema_keyword_of(lfirst(cell), KEYWORD_CONTAINS);

        if (!known)
            continue;
        if (!has_enough && known->count >= keyword->count)
            has_enough = covers_part_of(cover, keyword->nodes[0], known->nodes[0]);
        if (is_limited && known->max_count <= keyword->max_count)
            is_limited = !covers_part_of(cover, known->nodes[0], keyword->nodes[0]);
    }
    return has_enough && !is_limited;
}

bool
cover_children(Cover *cover, const JsonSchemaNode *node, const JsonSchemaKeyword *keyword,
               const SchemaFacts *facts)
{
    Members left_over = {node, NULL, 0};

    switch (keyword->kind) {
    case KEYWORD_PROPERTIES: return covers_properties(cover, keyword, facts);
    case KEYWORD_PATTERN_PROPERTIES: return covers_patterns(cover, node, keyword, facts);
    case KEYWORD_ADDITIONAL_PROPERTIES:
        return covers_members(cover, keyword->nodes[0], &left_over, facts);
    case KEYWORD_PROPERTY_NAMES: return covers_names(cover, keyword->nodes[0], facts);
    case KEYWORD_DEPENDENT_REQUIRED:
    case KEYWORD_DEPENDENT_SCHEMAS:
    case KEYWORD_DEPENDENCIES: return covers_dependent(cover, keyword, facts);
    case KEYWORD_PREFIX_ITEMS: return covers_prefix(cover, keyword, facts);
    case KEYWORD_ITEMS: return covers_rest(cover, node, keyword->nodes[0], facts);
    case KEYWORD_CONTAINS: return covers_contains(cover, keyword, facts);
    case APPLICATORS_TO_UNEVALUATED: return keyword->nodes[0]->source.kind == JSON_TRUE;
    case ASSERTIONS_ON_ANYTHING:
    case ASSERTIONS_ON_STRINGS:
    case ASSERTIONS_ON_NUMBERS:
    case ASSERTIONS_ON_ARRAYS:
    case KEYWORD_MIN_PROPERTIES:
    case KEYWORD_MAX_PROPERTIES:
    case KEYWORD_REQUIRED:
    case KEYWORD_REF:
    case KEYWORD_DYNAMIC_REF:
    case KEYWORD_ALL_OF:
    case KEYWORD_ANY_OF:
    case KEYWORD_ONE_OF:
    case KEYWORD_NOT:
    case KEYWORD_IF:
    case KEYWORD_ANNOTATION:
    case COMPILED_AWAY: break;
    }
    json_schema_stray_keyword(keyword);
}
