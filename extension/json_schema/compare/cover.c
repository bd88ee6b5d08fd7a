/*
 * json_schema/compare/cover.c: proves that one schema accepts everything that another one
 * accepts.
 *
 * For each keyword of the new schema it looks for a reason in the facts, that is, in what is
 * known about every instance of the old schema. If there is none, it distinguishes cases: first
 * the kind of the value, then the alternatives of the old schema. If only a few values are
 * possible, it tries them all. When it meets a claim again for a part of the instance, while it
 * is still proving that claim, it may assume it: this is an induction, and it ends because an
 * instance has an end. A failed attempt proves nothing.
 *
 * One recursion with cover_children.c, split by size.
 */
#include "extension/base/compat.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "extension/json_schema/compare/cover.h"
#include "extension/json_schema/evaluate.h"

#define MAX_STEPS 1000000
/* The deepest nesting of claims. Deeper schemas are not proved. */
#define MAX_DEPTH 500
#define MAX_ALTERNATIVES 600
/* Cases are only distinguished as long as no more nodes than this are known. */
#define MAX_CASE_NODES 100

/* ---- the same text ----------------------------------------------------------------- */

/* Whether the meaning of the value depends on the place where it stands. */
static bool
has_reference(JsonValue value)
{
    JsonWalk names;
    JsonWalk values;

    check_stack_depth();
    CHECK_FOR_INTERRUPTS();
    if (value.kind == JSON_ARRAY) {
        values = json_walk_array(value);
        while (!json_walk_ended(&values))
            if (has_reference(json_walk_next(&values)))
                return true;
    }
    if (value.kind != JSON_OBJECT)
        return false;
    json_walk_object(value, &names, &values);
    while (!json_walk_ended(&names)) {
        JsonValue name = json_walk_next(&names);

        if (name.length > 0 && (name.data[0] == '$' || json_string_equals(name, "id")))
            return true;
        if (has_reference(json_walk_next(&values)))
            return true;
    }
    return false;
}

static bool
is_same_schema(const JsonSchemaNode *a, const JsonSchemaNode *b)
{
    const JsonSchemaDialect *x = &a->resource->dialect;
    const JsonSchemaDialect *y = &b->resource->dialect;

    return x->draft == y->draft && x->vocabularies == y->vocabularies &&
           json_values_equal(a->source, b->source) && !has_reference(a->source);
}

static bool
has_same_schema(const JsonSchemaNode *node, const SchemaFacts *facts)
{
    ListCell *cell;

    foreach (cell, facts->nodes)
        if (is_same_schema(node, lfirst(cell)))
            return true;
    return false;
}

/* Whether the facts have a keyword that says the same about the instance as a whole. */
static bool
has_same_keyword(const JsonSchemaKeyword *keyword, const SchemaFacts *facts)
{
    ListCell *cell;

    foreach (cell, facts->nodes) {
        const JsonSchemaKeyword *known = json_schema_keyword_of(lfirst(cell), keyword->kind);

        if (!known || known->n != keyword->n)
            continue;
        for (int i = 0; i < known->n; i++) {
            const JsonSchemaNode *a = known->nodes[i];
            const JsonSchemaNode *b = keyword->nodes[i];

            if (a == b)
                continue;
            if (!a || !b || !is_same_schema(a, b)) {
                known = NULL;
                break;
            }
        }
        if (known)
            return true;
    }
    return false;
}

/* ---- keywords that apply in place ------------------------------------------------------ */

static bool
is_disjoint(Cover *cover, const JsonSchemaNode *node, const SchemaFacts *facts)
{
    SchemaFacts both = facts_and(facts, node);

    return cover_spend(cover, 1) && facts_are_empty(&both);
}

static bool
covers_one_of(Cover *cover, const JsonSchemaKeyword *keyword, const SchemaFacts *facts)
{
    int n_disjoint = 0;

    if (has_same_keyword(keyword, facts))
        return true;
    if (keyword->n > MAX_ALTERNATIVES)
        return false;
    for (int i = 0; i < keyword->n; i++)
        n_disjoint += is_disjoint(cover, keyword->nodes[i], facts);
    if (n_disjoint != keyword->n - 1)
        return false;
    for (int i = 0; i < keyword->n; i++)
        if (cover_node(cover, keyword->nodes[i], facts))
            return true;
    return false;
}

static bool
covers_list(Cover *cover, const JsonSchemaKeyword *keyword, const SchemaFacts *facts)
{
    bool is_all = keyword->kind == KEYWORD_ALL_OF;

    for (int i = 0; i < keyword->n; i++)
        if (cover_node(cover, keyword->nodes[i], facts) != is_all)
            return !is_all;
    return is_all;
}

static bool
covers_branch(Cover *cover, const JsonSchemaNode *condition, const JsonSchemaNode *branch,
              const SchemaFacts *facts)
{
    SchemaFacts both;

    if (!branch || cover_node(cover, branch, facts))
        return true;
    if (!condition)
        return false;
    both = facts_and(facts, condition);
    return cover_node(cover, branch, &both);
}

static bool
covers_if(Cover *cover, const JsonSchemaKeyword *keyword, const SchemaFacts *facts)
{
    const JsonSchemaNode *condition = keyword->nodes[0];

    if (has_same_keyword(keyword, facts))
        return true;
    if (!covers_branch(cover, condition, keyword->nodes[1], facts))
        return false;
    return !keyword->nodes[2] || cover_node(cover, condition, facts) ||
           covers_branch(cover, NULL, keyword->nodes[2], facts);
}

static bool
covers_keyword(Cover *cover, const JsonSchemaNode *node, const JsonSchemaKeyword *keyword,
               const SchemaFacts *facts)
{
    if (!(keyword->applies & facts->kinds))
        return true;
    switch (keyword->kind) {
    case KEYWORD_REF: return cover_node(cover, keyword->nodes[0], facts);
    case KEYWORD_ALL_OF:
    case KEYWORD_ANY_OF: return covers_list(cover, keyword, facts);
    case KEYWORD_ONE_OF: return covers_one_of(cover, keyword, facts);
    case KEYWORD_NOT:
        return has_same_keyword(keyword, facts) || is_disjoint(cover, keyword->nodes[0], facts);
    case KEYWORD_IF: return covers_if(cover, keyword, facts);
    case KEYWORD_ANNOTATION: return true;
    case KEYWORD_DYNAMIC_REF: return false;
    case KEYWORD_DEPENDENT_REQUIRED:
    case KEYWORD_DEPENDENT_SCHEMAS:
    case KEYWORD_DEPENDENCIES:
    case APPLICATORS_TO_MEMBERS:
    case APPLICATORS_TO_ITEMS:
    case APPLICATORS_TO_UNEVALUATED: return cover_children(cover, node, keyword, facts);
    case ASSERTIONS_ON_ANYTHING:
    case ASSERTIONS_ON_STRINGS:
    case ASSERTIONS_ON_NUMBERS:
    case ASSERTIONS_ON_ARRAYS:
    case KEYWORD_MIN_PROPERTIES:
    case KEYWORD_MAX_PROPERTIES:
    case KEYWORD_REQUIRED: return cover_assertion(cover, keyword, facts);
    case COMPILED_AWAY: break;
    }
    json_schema_stray_keyword(keyword);
}

/* ---- cases ----------------------------------------------------------------------------- */

/* Tries each value if there are only a few, and sets *is_covered. False when there are too many. */
static bool
try_values(Cover *cover, const JsonSchemaNode *node, const SchemaFacts *facts, bool *is_covered)
{
    const JsonValue *values;
    const JsonSchemaKeyword *list = json_schema_keyword_of(node, KEYWORD_ENUM);
    int n;

    if (!facts_are_finite(facts, &values, &n) ||
        !cover_spend(cover, (int64)n * (1 + (n + (list ? list->n : 0)) / 64)))
        return false;
    for (int i = 0; i < n; i++) {
        CHECK_FOR_INTERRUPTS();
        *is_covered = !(facts->kinds & JSON_KIND_BIT(values[i].kind)) ||
                      json_schema_interpret(node, values[i], NULL, NULL) ||
                      !facts_nodes_accept(facts->nodes, values[i]);
        if (!*is_covered)
            break;
    }
    return true;
}

static bool
covers_each_kind(Cover *cover, const JsonSchemaNode *node, const SchemaFacts *facts)
{
    for (int kind = 0; kind < N_JSON_KINDS; kind++) {
        SchemaFacts of_kind = *facts;

        of_kind.kinds &= JSON_KIND_BIT(kind);
        if (of_kind.kinds == facts->kinds)
            return false;
        if (of_kind.kinds && !cover_node(cover, node, &of_kind))
            return false;
    }
    return true;
}

/* Whether it is known that one of the alternatives applies. */
static bool
is_decided(const JsonSchemaKeyword *keyword, const SchemaFacts *facts)
{
    for (int i = 0; i < keyword->n; i++)
        if (keyword->nodes[i] && list_member_ptr(facts->nodes, keyword->nodes[i]))
            return true;
    return false;
}

static bool
covers_each_alternative(Cover *cover, const JsonSchemaNode *node, const SchemaFacts *facts)
{
    ListCell *cell;

    foreach (cell, facts->nodes) {
        const JsonSchemaNode *known = lfirst(cell);

        for (int i = 0; i < known->n_keywords; i++) {
            const JsonSchemaKeyword *keyword = &known->keywords[i];
            bool is_covered = true;

            if ((keyword->kind != KEYWORD_ANY_OF && keyword->kind != KEYWORD_ONE_OF) ||
                keyword->n > MAX_ALTERNATIVES || is_decided(keyword, facts))
                continue;
            for (int j = 0; is_covered && j < keyword->n; j++) {
                SchemaFacts one = facts_and(facts, keyword->nodes[j]);

                is_covered = list_length(one.nodes) > list_length(facts->nodes) &&
                             cover_node(cover, node, &one);
            }
            if (is_covered)
                return true;
        }
    }
    return false;
}

/* Two cases: the condition applies, or it does not. */
static bool
covers_both_branches(Cover *cover, const JsonSchemaNode *node, const SchemaFacts *facts,
                     const JsonSchemaKeyword *keyword)
{
    const JsonSchemaNode *condition = keyword->nodes[0];
    const JsonSchemaNode *otherwise = keyword->nodes[2];
    SchemaFacts branch = facts_and(facts, condition);

    branch = facts_and(&branch, keyword->nodes[1]);
    if (!cover_node(cover, node, &branch))
        return false;
    if (cover_node(cover, condition, facts))
        return true;
    branch = facts_and(facts, otherwise);
    return list_length(branch.nodes) > list_length(facts->nodes) &&
           cover_node(cover, node, &branch);
}

static bool
covers_each_branch(Cover *cover, const JsonSchemaNode *node, const SchemaFacts *facts)
{
    ListCell *cell;

    foreach (cell, facts->nodes) {
        const JsonSchemaKeyword *keyword = json_schema_keyword_of(lfirst(cell), KEYWORD_IF);

        if (keyword && !is_decided(keyword, facts) && list_length(facts->nodes) < MAX_CASE_NODES &&
            covers_both_branches(cover, node, facts, keyword))
            return true;
    }
    return false;
}

static bool
covers_now(Cover *cover, const JsonSchemaNode *node, const SchemaFacts *facts)
{
    bool is_covered = false;

    if (try_values(cover, node, facts, &is_covered))
        return is_covered;
    is_covered = node->source.kind == JSON_OBJECT;
    for (int i = 0; is_covered && i < node->n_keywords; i++)
        is_covered = covers_keyword(cover, node, &node->keywords[i], facts);
    return is_covered || has_same_schema(node, facts) || facts_are_empty(facts) ||
           covers_each_kind(cover, node, facts) || covers_each_alternative(cover, node, facts) ||
           covers_each_branch(cover, node, facts);
}

/* ---- claims ---------------------------------------------------------------------------- */

static bool
is_same_claim(const CoverClaim *claim, const JsonSchemaNode *node, const SchemaFacts *facts)
{
    ListCell *cell;

    if (claim->node != node || claim->facts->kinds != facts->kinds ||
        claim->facts->is_integer != facts->is_integer ||
        list_length(claim->facts->nodes) != list_length(facts->nodes))
        return false;
    foreach (cell, facts->nodes)
        if (!list_member_ptr(claim->facts->nodes, lfirst(cell)))
            return false;
    return true;
}

bool
cover_node(Cover *cover, const JsonSchemaNode *node, const SchemaFacts *facts)
{
    CoverClaim claim = {cover->claims, node, facts, cover->instance_depth};
    MemoryContext scratch;
    MemoryContext caller;
    bool is_covered;

    if (node->source.kind == JSON_TRUE || facts->kinds == 0 || list_member_ptr(facts->nodes, node))
        return true;
    /* The cost covers what follows: a walk over the claims and one over the facts. */
    if (!cover_spend(cover, 1 + (cover->depth + list_length(facts->nodes)) / 4) ||
        cover->depth >= MAX_DEPTH || stack_is_too_deep())
        return false;
    for (const CoverClaim *outer = cover->claims; outer; outer = outer->outer)
        if (is_same_claim(outer, node, facts))
            return outer->instance_depth < cover->instance_depth;
    cover->claims = &claim;
    cover->depth++;
    scratch =
        AllocSetContextCreate(CurrentMemoryContext, "JSON Schema claim", ALLOCSET_SMALL_SIZES);
    caller = MemoryContextSwitchTo(scratch);
    is_covered = covers_now(cover, node, facts);
    MemoryContextSwitchTo(caller);
    MemoryContextDelete(scratch);
    cover->depth--;
    cover->claims = claim.outer;
    return is_covered;
}

bool
cover_part(Cover *cover, const JsonSchemaNode *node, const SchemaFacts *facts)
{
    bool is_covered;

    cover->instance_depth++;
    is_covered = cover_node(cover, node, facts);
    cover->instance_depth--;
    return is_covered;
}

bool
json_schema_covers(const JsonSchemaProgram *new_program, const JsonSchemaProgram *old_program)
{
    Cover cover = {MAX_STEPS, 0, 0, NULL};
    SchemaFacts facts;

    /* The meaning of a dynamic reference is only known during a run. */
    if (new_program->has_dynamic_scope || old_program->has_dynamic_scope)
        return false;
    facts = facts_of(list_make1(old_program->root), JSON_KINDS_ALL);
    return cover_node(&cover, new_program->root, &facts);
}
