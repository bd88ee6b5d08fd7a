/*
 * json_schema/node.c: the nodes of a program. It makes them, knows their places, reports what is
 * wrong with them, remembers what must be checked, and finds the keywords and names of a compiled
 * node.
 *
 * It does not know what a keyword means. The compilation (compile.c and the files below it), the
 * evaluators and the comparison of schemas use it.
 */
#include "extension/base/compat.h"

#include "extension/base/message.h"
#include "extension/json/pointer.h"
#include "extension/json_schema/internal.h"

/* ---- problems ----------------------------------------------------------------- */

/* The most problems that are listed, and the most bytes, because places may be long. */
#define MAX_PROBLEMS 1000
#define MAX_PROBLEM_BYTES (4 * 1024 * 1024)

static void
add_problem(JsonSchemaCompile *compile, char *location, const char *keyword, char *message)
{
    JsonSchemaProblem *problem = palloc(sizeof(JsonSchemaProblem));

    problem->location = location;
    problem->keyword = keyword ? pstrdup(keyword) : NULL;
    problem->message = message;
    compile->problems = lappend(compile->problems, problem);
    compile->problem_bytes += strlen(location) + strlen(message);
}

void
json_schema_more_problems(JsonSchemaCompile *compile)
{
    MemoryContext caller = MemoryContextSwitchTo(compile->program->context);

    if (!compile->is_cut)
        add_problem(compile, pstrdup("#"), NULL,
                    pstrdup("there are more problems than are listed"));
    compile->is_cut = true;
    MemoryContextSwitchTo(caller);
}

/* Whether there is no room for another problem. */
static bool
is_full(JsonSchemaCompile *compile)
{
    if (!compile->is_cut && list_length(compile->problems) < MAX_PROBLEMS &&
        compile->problem_bytes < MAX_PROBLEM_BYTES)
        return false;
    json_schema_more_problems(compile);
    return true;
}

void
json_schema_problem(JsonSchemaCompile *compile, const JsonSchemaResource *resource,
                    const JsonSchemaPointer *pointer, const char *keyword, const char *format, ...)
{
    va_list arguments;
    char *message;
    StringInfoData location;
    MemoryContext caller;

    if (is_full(compile))
        return;
    caller = MemoryContextSwitchTo(compile->program->context);
    va_start(arguments, format);
    message = message_vformat(format, arguments);
    va_end(arguments);
    initStringInfo(&location);
    appendStringInfo(&location, "%s#%s", resource->uri, json_schema_pointer_text(pointer));
    if (keyword)
        json_pointer_append(&location, keyword, strlen(keyword));
    if (!compile->collects)
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                errmsg("invalid JSON Schema: %s", message),
                errdetail("Found at schema location \"%s\".", location.data),
                errhint("Check the schema with ctms.json_schema_check()."));
    add_problem(compile, location.data, keyword, message);
    MemoryContextSwitchTo(caller);
}

void
json_schema_bad_value(JsonSchemaCompile *compile, const JsonSchemaNode *node,
                      const JsonSchemaKeyword *keyword, const char *expected)
{
    json_schema_problem(compile, node->resource, node->pointer, keyword->name,
                        "keyword \"%s\" must be %s", keyword->name, expected);
}

/* ---- pointers ----------------------------------------------------------------- */

const JsonSchemaPointer *
json_schema_child_pointer(const JsonSchemaPointer *pointer, const char *keyword, JsonValue *name,
                          int64 index)
{
    JsonSchemaPointer *child = palloc0(sizeof(JsonSchemaPointer));

    child->parent = pointer;
    child->keyword = keyword;
    child->index = name ? -1 : index;
    if (name) {
        child->name = name->data;
        child->name_length = name->length;
    }
    return child;
}

char *
json_schema_pointer_text(const JsonSchemaPointer *pointer)
{
    StringInfoData text;
    List *chain = NIL;

    for (; pointer; pointer = pointer->parent)
        chain = lappend(chain, (void *)pointer);
    initStringInfo(&text);
    for (int i = list_length(chain) - 1; i >= 0; i--) {
        const JsonSchemaPointer *step = list_nth(chain, i);

        if (step->keyword)
            json_pointer_append(&text, step->keyword, strlen(step->keyword));
        if (step->name)
            json_pointer_append(&text, step->name, step->name_length);
        if (step->index >= 0)
            appendStringInfo(&text, "/" INT64_FORMAT, step->index);
    }
    list_free(chain);
    return text.data;
}

/* ---- nodes -------------------------------------------------------------------- */

typedef struct NodeEntry {
    const char *address;
    JsonSchemaNode *node;
} NodeEntry;

typedef struct RootEntry {
    const char *address;
    JsonSchemaResource *resource;
} RootEntry;

static HTAB *
address_table(const char *name, Size entry_size, MemoryContext context)
{
    HASHCTL control;

    memset(&control, 0, sizeof(control));
    control.keysize = sizeof(const char *);
    control.entrysize = entry_size;
    control.hcxt = context;
    return hash_create(name, 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

void
json_schema_nodes_init(JsonSchemaCompile *compile, MemoryContext context)
{
    compile->roots = address_table("JSON Schema resources", sizeof(RootEntry), context);
    compile->nodes = address_table("JSON Schema nodes", sizeof(NodeEntry), context);
}

void
json_schema_enter_root(JsonSchemaCompile *compile, JsonSchemaResource *resource)
{
    RootEntry *entry;
    bool found;

    if (resource->root.kind != JSON_OBJECT)
        return;
    entry = hash_search(compile->roots, &resource->root.data, HASH_ENTER, &found);
    entry->resource = resource;
}

JsonSchemaResource *
json_schema_root_at(const JsonSchemaCompile *compile, JsonValue schema)
{
    RootEntry *entry = NULL;

    if (schema.kind == JSON_OBJECT)
        entry = hash_search(compile->roots, &schema.data, HASH_FIND, NULL);
    return entry ? entry->resource : NULL;
}

JsonSchemaNode *
json_schema_node(JsonSchemaCompile *compile, JsonValue source, const JsonSchemaResource *resource,
                 const JsonSchemaPointer *pointer)
{
    JsonSchemaNode *node;
    NodeEntry *entry = NULL;
    bool found;

    if (source.kind == JSON_OBJECT) {
        const JsonSchemaResource *root;

        entry = hash_search(compile->nodes, &source.data, HASH_ENTER, &found);
        if (found)
            return entry->node;
        root = json_schema_root_at(compile, source);
        if (root) {
            resource = root;
            pointer = NULL;
        }
    }
    json_schema_check_size(compile->program);
    node = palloc0(sizeof(JsonSchemaNode));
    node->source = source;
    node->resource = resource;
    node->pointer = pointer;
    if (entry)
        entry->node = node;
    compile->all_nodes = lappend(compile->all_nodes, node);
    return node;
}

JsonSchemaNode *
json_schema_child(JsonSchemaCompile *compile, JsonSchemaNode *node, const char *keyword,
                  JsonValue *name, int64 index, JsonValue source)
{
    const JsonSchemaPointer *pointer =
        json_schema_child_pointer(node->pointer, keyword, name, index);

    if (source.kind != JSON_OBJECT && (node->resource->dialect.draft == 4 ||
                                       (source.kind != JSON_TRUE && source.kind != JSON_FALSE))) {
        /* Draft 4 only allows booleans for the two "additional" keywords. */
        if (node->resource->dialect.draft != 4 || strncmp(keyword, "additional", 10) != 0 ||
            (source.kind != JSON_TRUE && source.kind != JSON_FALSE)) {
            json_schema_problem(compile, node->resource, pointer, NULL,
                                "a schema must be an object%s",
                                node->resource->dialect.draft == 4 ? "" : " or a boolean");
            return NULL;
        }
    }
    return json_schema_node(compile, source, node->resource, pointer);
}

/* ---- what metaschemas are asked about ----------------------------------------------- */

void
json_schema_check_later(JsonSchemaCompile *compile, JsonValue schema,
                        const JsonSchemaResource *resource, const JsonSchemaPointer *pointer)
{
    JsonSchemaPlace *place;

    if (compile->options.is_stored || resource->is_built_in)
        return;
    place = palloc(sizeof(JsonSchemaPlace));
    place->resource = resource;
    place->schema = schema;
    place->pointer = pointer;
    compile->to_check = lappend(compile->to_check, place);
}

void
json_schema_check_apart(JsonSchemaCompile *compile, JsonValue schema,
                        const JsonSchemaResource *resource, const JsonSchemaPointer *pointer)
{
    bool found;

    if (compile->options.is_stored || resource->is_built_in)
        return;
    if (!compile->cuts)
        compile->cuts = address_table("JSON Schema cuts", sizeof(const char *), compile->scratch);
    (void)hash_search(compile->cuts, &schema.data, HASH_ENTER, &found);
    if (!found)
        json_schema_check_later(compile, schema, resource, pointer);
}

bool
json_schema_is_apart(const JsonSchemaCompile *compile, JsonValue value)
{
    return value.kind == JSON_OBJECT && compile->cuts &&
           hash_search(compile->cuts, &value.data, HASH_FIND, NULL);
}

/* ---- looking into them --------------------------------------------------------- */

const JsonSchemaKeyword *
json_schema_keyword_of(const JsonSchemaNode *node, JsonSchemaKeywordKind kind)
{
    for (int i = 0; i < node->n_keywords; i++)
        if (node->keywords[i].kind == kind)
            return &node->keywords[i];
    return NULL;
}

int
json_schema_index_of_name(const JsonSchemaKeyword *keyword, JsonValue name)
{
    int low = 0;
    int high = keyword ? keyword->n - 1 : -1;

    while (low <= high) {
        int middle = (low + high) / 2;
        const JsonValue *candidate = &keyword->names[middle];
        int order = json_compare_keys(candidate->data, candidate->length, name.data, name.length);

        if (order == 0)
            return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle - 1;
    }
    return -1;
}

bool
json_schema_matches_pattern(const JsonSchemaKeyword *keyword, JsonValue name)
{
    for (int i = 0; keyword && i < keyword->n; i++)
        if (regex_matches(keyword->patterns[i], name.data, name.length))
            return true;
    return false;
}

void
json_schema_stray_keyword(const JsonSchemaKeyword *keyword)
{
    elog(ERROR, "JSON Schema keyword \"%s\" belongs to another pass", keyword->name);
}
