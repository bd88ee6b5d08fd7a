/*
 * json_schema/compile.c: compiles a schema into the graph of nodes that the evaluators walk over.
 *
 * A node is made when something points to it (json_schema/node.c), and is compiled from a work
 * list. So a deep schema needs no stack here, and only nodes that can be reached are compiled.
 */
#include "extension/base/compat.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "extension/json_schema/fast.h"
#include "extension/json_schema/format/format.h"
#include "extension/json_schema/internal.h"

/* ---- nodes -------------------------------------------------------------------- */

static int
by_kind(const void *a, const void *b)
{
    return (int)((const JsonSchemaKeyword *)a)->kind - (int)((const JsonSchemaKeyword *)b)->kind;
}

static void
link_siblings(JsonSchemaNode *node)
{
    for (int i = 0; i < node->n_keywords; i++) {
        const JsonSchemaKeyword *keyword = &node->keywords[i];

        switch (keyword->kind) {
        case KEYWORD_PROPERTIES: node->properties = keyword; break;
        case KEYWORD_PATTERN_PROPERTIES: node->pattern_properties = keyword; break;
        case KEYWORD_PREFIX_ITEMS: node->prefix_items = keyword; break;
        case APPLICATORS_TO_UNEVALUATED: node->has_unevaluated = true; break;
        case KEYWORD_ADDITIONAL_PROPERTIES:
        case KEYWORD_PROPERTY_NAMES:
        case KEYWORD_ITEMS:
        case KEYWORD_CONTAINS:
        case ASSERTIONS:
        case APPLICATORS_IN_PLACE:
        case KEYWORD_ANNOTATION: break;
        case COMPILED_AWAY: json_schema_stray_keyword(keyword);
        }
    }
}

static bool
asserts_content(const JsonSchemaCompile *compile, const JsonSchemaNode *node)
{
    return (compile->options.asserts & JSON_SCHEMA_ASSERT_CONTENT) &&
           node->resource->dialect.draft >= 7;
}

/*
 * A keyword that has no rule of its own: an annotation. If the options ask for it, the content of
 * strings is asserted.
 */
static void
compile_annotation(JsonSchemaCompile *compile, JsonSchemaNode *node, JsonSchemaKeyword *keyword)
{
    if (asserts_content(compile, node))
        keyword->format = content_find(node->source, keyword->name);
    if (!keyword->format)
        return;
    keyword->kind = KEYWORD_FORMAT;
    keyword->applies = JSON_KIND_BIT(JSON_STRING);
}

/* Compiles one member of a schema object. False when nothing of it must be evaluated. */
static bool
compile_keyword(JsonSchemaCompile *compile, JsonSchemaNode *node, JsonSchemaKeyword *keyword,
                JsonValue name, JsonValue value)
{
    const JsonSchemaKeywordRule *rule = json_schema_find_rule(&node->resource->dialect, name);

    memset(keyword, 0, sizeof(*keyword));
    keyword->name = json_string_copy(name);
    keyword->value = value;
    keyword->kind = rule ? rule->kind : KEYWORD_ANNOTATION;
    keyword->applies = rule ? rule->applies : 0;
    switch (keyword->kind) {
    case ASSERTIONS: json_schema_compile_assertion(compile, node, keyword); return true;
    case APPLICATORS_IN_PLACE:
    case APPLICATORS_TO_MEMBERS:
    case APPLICATORS_TO_ITEMS:
    case APPLICATORS_TO_UNEVALUATED:
    case KEYWORD_ADDITIONAL_ITEMS:
    case KEYWORD_RECURSIVE_REF:
    case KEYWORD_DEFINITIONS: return json_schema_compile_applicator(compile, node, keyword);
    case KEYWORD_ANNOTATION: compile_annotation(compile, node, keyword); return true;
    case KEYWORD_THEN: /* "if" and "contains" look for these themselves */
    case KEYWORD_ELSE:
    case KEYWORD_MIN_CONTAINS:
    case KEYWORD_MAX_CONTAINS:
    case KEYWORD_IDENTIFIER: break;
    }
    return false;
}

static void
compile_node(JsonSchemaCompile *compile, JsonSchemaNode *node)
{
    JsonWalk names;
    JsonWalk values;
    JsonValue reference;
    bool reference_only;

    if (node->source.kind != JSON_OBJECT)
        return;
    reference_only =
        node->resource->dialect.draft <= 7 && json_object_get(node->source, "$ref", 4, &reference);
    node->keywords = palloc(sizeof(JsonSchemaKeyword) * Max(json_count(node->source), 1));
    json_walk_object(node->source, &names, &values);
    while (!json_walk_ended(&names)) {
        JsonValue name = json_walk_next(&names);
        JsonValue value = json_walk_next(&values);

        if (reference_only && !json_string_equals(name, "$ref"))
            continue;
        if (compile_keyword(compile, node, &node->keywords[node->n_keywords], name, value))
            node->n_keywords++;
    }
    qsort(node->keywords, node->n_keywords, sizeof(JsonSchemaKeyword), by_kind);
    link_siblings(node);
}

/* ---- dynamic references --------------------------------------------------------- */

static void
add_candidate(JsonSchemaCompile *compile, JsonSchemaCandidates *candidates,
              JsonSchemaResource *resource)
{
    JsonSchemaNode *node = json_schema_candidate_in(compile, candidates, resource);
    JsonSchemaCandidate *candidate;

    if (!node)
        return;
    candidate = palloc(sizeof(JsonSchemaCandidate));
    candidate->resource = resource;
    candidate->node = node;
    candidates->list = lappend(candidates->list, candidate);
}

static void
link_candidates(JsonSchemaCompile *compile, JsonSchemaNode *node)
{
    for (int i = 0; i < node->n_keywords; i++)
        if (node->keywords[i].kind == KEYWORD_DYNAMIC_REF)
            node->keywords[i].candidates =
                json_schema_candidates(compile, node->keywords[i].anchor);
}

/*
 * A dynamic reference may mean a node of any resource, and compiling that node may add more
 * resources. So this repeats until there is nothing new.
 */
static void
compile_all(JsonSchemaCompile *compile)
{
    int done = 0;
    ListCell *cell;

    while (done < list_length(compile->all_nodes)) {
        for (; done < list_length(compile->all_nodes); done++) {
            JsonSchemaNode *node = list_nth(compile->all_nodes, done);

            CHECK_FOR_INTERRUPTS();
            json_schema_check_size(compile->program);
            compile_node(compile, node);
            link_candidates(compile, node);
        }
        foreach (cell, compile->candidates) {
            JsonSchemaCandidates *candidates = lfirst(cell);

            while (candidates->n_resources < list_length(compile->resources)) {
                CHECK_FOR_INTERRUPTS();
                add_candidate(compile, candidates,
                              list_nth(compile->resources, candidates->n_resources++));
            }
        }
    }
}

/* Whether a dynamic reference means the same node in every scope. */
static bool
means_one_node(const JsonSchemaKeyword *keyword)
{
    ListCell *cell;

    foreach (cell, keyword->candidates->list)
        if (((const JsonSchemaCandidate *)lfirst(cell))->node != keyword->nodes[0])
            return false;
    return true;
}

/*
 * Dynamic references that mean one node become ordinary ones, which cost no more than "$ref". That
 * is after the search for circles, which accepts those of dynamic references that the root does not
 * lead to.
 */
static void
settle_references(JsonSchemaCompile *compile)
{
    ListCell *cell;

    compile->program->has_dynamic_scope = false;
    foreach (cell, compile->all_nodes) {
        JsonSchemaNode *node = lfirst(cell);

        CHECK_FOR_INTERRUPTS();
        for (int i = 0; i < node->n_keywords; i++) {
            JsonSchemaKeyword *keyword = &node->keywords[i];

            if (keyword->kind != KEYWORD_DYNAMIC_REF)
                continue;
            if (means_one_node(keyword))
                keyword->kind = KEYWORD_REF;
            else
                compile->program->has_dynamic_scope = true;
        }
    }
}

/* ---- entry ---------------------------------------------------------------------- */

JsonSchemaResource *
json_schema_begin(JsonSchemaCompile *compile, const char *uri, const Jsonb *schema,
                  const JsonSchemaOptions *options, MemoryContext scratch)
{
    Jsonb *copy = palloc(VARSIZE(schema));

    memcpy(copy, schema, VARSIZE(schema));
    compile->program = palloc0(sizeof(JsonSchemaProgram));
    compile->program->context = CurrentMemoryContext;
    compile->options = *options;
    compile->scratch = scratch;
    json_schema_nodes_init(compile, scratch);
    compile->names = json_schema_names_new(scratch);
    return json_schema_index_document(compile, uri, json_value_of_jsonb(copy),
                                      json_schema_draft_dialect(options->draft), ORIGIN_GIVEN);
}

static void
compile_program(JsonSchemaCompile *compile, const JsonSchemaResource *resource,
                JsonSchemaCheck *check)
{
    JsonValue root = resource->root;

    if (root.kind != JSON_OBJECT && root.kind != JSON_TRUE && root.kind != JSON_FALSE) {
        json_schema_problem(compile, resource, NULL, NULL,
                            "a schema must be an object or a boolean");
        return;
    }
    compile->program->root = json_schema_node(compile, root, resource, NULL);
    compile_all(compile);
    if (check)
        check(compile);
    json_schema_find_cycles(compile);
    json_schema_find_dynamic_cycles(compile);
    settle_references(compile);
}

JsonSchemaProgram *
json_schema_compile_at(const char *uri, const Jsonb *schema, const JsonSchemaOptions *options,
                       JsonSchemaCheck *check, MemoryContext parent, List **problems)
{
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "JSON Schema", 0, 1024, 64 * 1024);
    MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "JSON Schema compilation",
                                                  ALLOCSET_SMALL_SIZES);
    MemoryContext caller = MemoryContextSwitchTo(context);
    JsonSchemaCompile compile;
    JsonSchemaProgram *program;

    memset(&compile, 0, sizeof(compile));
    compile.collects = problems != NULL;
    compile_program(&compile, json_schema_begin(&compile, uri, schema, options, scratch), check);
    program = compile.program;
    program->n_nodes = list_length(compile.all_nodes);
    MemoryContextDelete(scratch);
    if (!compile.problems)
        json_schema_lower(program);
    MemoryContextSwitchTo(caller);
    if (problems && compile.problems) {
        ListCell *cell;

        *problems = NIL;
        foreach (cell, compile.problems) {
            const JsonSchemaProblem *problem = lfirst(cell);
            JsonSchemaProblem *kept = palloc(sizeof(JsonSchemaProblem));

            kept->location = pstrdup(problem->location);
            kept->keyword = problem->keyword ? pstrdup(problem->keyword) : NULL;
            kept->message = pstrdup(problem->message);
            *problems = lappend(*problems, kept);
        }
        MemoryContextDelete(context);
        return NULL;
    }
    if (problems)
        *problems = NIL;
    MemoryContextSetParent(context, parent);
    return program;
}

void
json_schema_free(JsonSchemaProgram *program)
{
    MemoryContextDelete(program->context);
}

Size
json_schema_program_size(const JsonSchemaProgram *program)
{
    return MemoryContextMemAllocated(program->context, true);
}

bool
json_schema_uses_loader(const JsonSchemaProgram *program)
{
    return program->uses_loader;
}
