/*
 * json_schema/applicators.c: compiles the keywords that hold subschemas or refer to them.
 */
#include "extension/base/compat.h"

#include "miscadmin.h"

#include "extension/json/number.h"
#include "extension/json_schema/internal.h"

static void
allocate_lists(JsonSchemaKeyword *keyword, uint32 n)
{
    keyword->names = palloc0(sizeof(JsonValue) * Max(n, 1));
    keyword->nodes = palloc0(sizeof(JsonSchemaNode *) * Max(n, 1));
    keyword->patterns = palloc0(sizeof(Regex *) * Max(n, 1));
    keyword->lists = palloc0(sizeof(JsonValue) * Max(n, 1));
}

static void
compile_single(JsonSchemaCompile *compile, JsonSchemaNode *node, JsonSchemaKeyword *keyword)
{
    allocate_lists(keyword, 1);
    keyword->nodes[0] = json_schema_child(compile, node, keyword->name, NULL, -1, keyword->value);
    keyword->n = 1;
}

static void
compile_list(JsonSchemaCompile *compile, JsonSchemaNode *node, JsonSchemaKeyword *keyword)
{
    JsonWalk walk;

    if (keyword->value.kind != JSON_ARRAY) {
        json_schema_bad_value(compile, node, keyword, "an array of schemas");
        return;
    }
    allocate_lists(keyword, json_count(keyword->value));
    walk = json_walk_array(keyword->value);
    while (!json_walk_ended(&walk)) {
        CHECK_FOR_INTERRUPTS();
        keyword->nodes[keyword->n] = json_schema_child(compile, node, keyword->name, NULL,
                                                       keyword->n, json_walk_next(&walk));
        keyword->n++;
    }
}

/* If is_mixed, a value may also be an array of names: "dependencies". */
static void
compile_map(JsonSchemaCompile *compile, JsonSchemaNode *node, JsonSchemaKeyword *keyword,
            bool is_mixed)
{
    JsonWalk names;
    JsonWalk values;

    if (keyword->value.kind != JSON_OBJECT) {
        json_schema_bad_value(compile, node, keyword, "an object of schemas");
        return;
    }
    allocate_lists(keyword, json_count(keyword->value));
    json_walk_object(keyword->value, &names, &values);
    while (!json_walk_ended(&names)) {
        JsonValue name = json_walk_next(&names);
        JsonValue value = json_walk_next(&values);

        CHECK_FOR_INTERRUPTS();
        keyword->names[keyword->n] = name;
        keyword->lists[keyword->n] = value;
        if (!is_mixed || value.kind != JSON_ARRAY)
            keyword->nodes[keyword->n] =
                json_schema_child(compile, node, keyword->name, &name, -1, value);
        keyword->n++;
    }
}

static void
compile_pattern_properties(JsonSchemaCompile *compile, JsonSchemaNode *node,
                           JsonSchemaKeyword *keyword)
{
    compile_map(compile, node, keyword, false);
    for (int i = 0; i < keyword->n; i++) {
        char *error = NULL;

        keyword->patterns[i] =
            regex_compile(keyword->names[i].data, keyword->names[i].length, &error);
        json_schema_check_size(compile->program);
        if (error)
            json_schema_problem(
                compile, node->resource,
                json_schema_child_pointer(node->pointer, keyword->name, &keyword->names[i], -1),
                NULL, "invalid regular expression: %s", error);
    }
}

/* Either one schema for all items or, before 2020-12, a list for the first ones. */
static bool
compile_items(JsonSchemaCompile *compile, JsonSchemaNode *node, JsonSchemaKeyword *keyword)
{
    if (keyword->value.kind == JSON_ARRAY && node->resource->dialect.draft < 2020) {
        keyword->kind = KEYWORD_PREFIX_ITEMS;
        compile_list(compile, node, keyword);
    } else if (keyword->value.kind == JSON_ARRAY) {
        json_schema_problem(compile, node->resource, node->pointer, keyword->name,
                            "keyword \"items\" must be a schema; \"prefixItems\" takes a list");
    } else if (node->resource->dialect.draft == 4 && keyword->value.kind != JSON_OBJECT) {
        json_schema_bad_value(compile, node, keyword, "a schema or an array of schemas");
    } else {
        compile_single(compile, node, keyword);
    }
    return true;
}

/*
 * Applies to the items after those that the list in "items" covers. Without such a list the
 * keyword means nothing.
 */
static bool
compile_additional_items(JsonSchemaCompile *compile, JsonSchemaNode *node,
                         JsonSchemaKeyword *keyword)
{
    JsonValue items;

    compile_single(compile, node, keyword);
    if (!json_object_get(node->source, "items", 5, &items) || items.kind != JSON_ARRAY)
        return false;
    keyword->kind = KEYWORD_ITEMS;
    return true;
}

static bool
bounds_of_contains(JsonSchemaCompile *compile, JsonSchemaNode *node, const char *name, int64 *bound)
{
    JsonSchemaKeyword bound_keyword = {.name = name};
    JsonValue value;
    JsonSchemaDialect dialect = node->resource->dialect;

    if (dialect.draft < 2019 || !(dialect.vocabularies & VOCABULARY_VALIDATION) ||
        !json_object_get(node->source, name, strlen(name), &value))
        return false;
    *bound = value.kind == JSON_NUMBER ? json_number_to_count(value) : -1;
    if (*bound < 0)
        json_schema_bad_value(compile, node, &bound_keyword, "an integer of 0 or more");
    return true;
}

static void
compile_contains(JsonSchemaCompile *compile, JsonSchemaNode *node, JsonSchemaKeyword *keyword)
{
    compile_single(compile, node, keyword);
    keyword->count = 1;
    keyword->max_count = PG_INT64_MAX;
    bounds_of_contains(compile, node, "minContains", &keyword->count);
    bounds_of_contains(compile, node, "maxContains", &keyword->max_count);
}

static void
compile_if(JsonSchemaCompile *compile, JsonSchemaNode *node, JsonSchemaKeyword *keyword)
{
    static const char *const branches[] = {"if", "then", "else"};

    allocate_lists(keyword, 3);
    keyword->n = 3;
    for (int i = 0; i < 3; i++) {
        JsonValue value;

        if (json_object_get(node->source, branches[i], strlen(branches[i]), &value))
            keyword->nodes[i] = json_schema_child(compile, node, branches[i], NULL, -1, value);
    }
}

static void
compile_reference(JsonSchemaCompile *compile, JsonSchemaNode *node, JsonSchemaKeyword *keyword)
{
    const JsonSchemaAnchor *anchor = NULL;
    JsonSchemaKeywordKind kind = keyword->kind;

    allocate_lists(keyword, 1);
    keyword->n = 1;
    keyword->kind = KEYWORD_REF;
    if (keyword->value.kind != JSON_STRING) {
        json_schema_bad_value(compile, node, keyword, "a string");
        return;
    }
    keyword->nodes[0] = json_schema_resolve(compile, node, keyword->name,
                                            json_string_copy(keyword->value), &anchor);
    if (!keyword->nodes[0])
        return;
    if (kind == KEYWORD_DYNAMIC_REF && anchor && anchor->is_dynamic)
        keyword->anchor = anchor->name;
    if (kind == KEYWORD_RECURSIVE_REF && keyword->nodes[0]->resource->has_recursive_anchor)
        keyword->anchor = "";
    if (!keyword->anchor)
        return;
    keyword->kind = KEYWORD_DYNAMIC_REF;
    compile->program->has_dynamic_scope = true;
}

/* What references reach is compiled through them. */
static void
compile_definitions(JsonSchemaCompile *compile, JsonSchemaNode *node, JsonSchemaKeyword *keyword)
{
    if (compile->options.is_whole)
        compile_map(compile, node, keyword, false);
}

bool
json_schema_compile_applicator(JsonSchemaCompile *compile, JsonSchemaNode *node,
                               JsonSchemaKeyword *keyword)
{
    switch (keyword->kind) {
    case KEYWORD_PROPERTIES:
    case KEYWORD_DEPENDENT_SCHEMAS: compile_map(compile, node, keyword, false); return true;
    case KEYWORD_DEPENDENCIES: compile_map(compile, node, keyword, true); return true;
    case KEYWORD_PATTERN_PROPERTIES:
        compile_pattern_properties(compile, node, keyword);
        return true;
    case KEYWORD_ADDITIONAL_PROPERTIES:
    case KEYWORD_PROPERTY_NAMES:
    case KEYWORD_NOT:
    case KEYWORD_UNEVALUATED_ITEMS:
    case KEYWORD_UNEVALUATED_PROPERTIES: compile_single(compile, node, keyword); return true;
    case KEYWORD_ALL_OF:
    case KEYWORD_ANY_OF:
    case KEYWORD_ONE_OF:
    case KEYWORD_PREFIX_ITEMS: compile_list(compile, node, keyword); return true;
    case KEYWORD_ITEMS: return compile_items(compile, node, keyword);
    case KEYWORD_ADDITIONAL_ITEMS: return compile_additional_items(compile, node, keyword);
    case KEYWORD_CONTAINS: compile_contains(compile, node, keyword); return true;
    case KEYWORD_IF: compile_if(compile, node, keyword); return true;
    case KEYWORD_REF:
    case KEYWORD_DYNAMIC_REF:
    case KEYWORD_RECURSIVE_REF: compile_reference(compile, node, keyword); return true;
    case KEYWORD_DEFINITIONS: compile_definitions(compile, node, keyword); return false;
    case ASSERTIONS:
    case KEYWORD_ANNOTATION:
    case KEYWORD_THEN:
    case KEYWORD_ELSE:
    case KEYWORD_MIN_CONTAINS:
    case KEYWORD_MAX_CONTAINS:
    case KEYWORD_IDENTIFIER: break;
    }
    json_schema_stray_keyword(keyword);
}
