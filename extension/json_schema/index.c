/*
 * json_schema/index.c: the documents of one compilation: which resources and anchors they have,
 * and to what a reference points.
 *
 * "$id" and anchors only count in schemas, that is, where a keyword of the dialect has a
 * subschema. So documents are walked keyword by keyword.
 */
#include "extension/base/compat.h"

#include "miscadmin.h"

#include "extension/json/pointer.h"
#include "extension/json_schema/internal.h"
#include "extension/json_schema/uri.h"

/*
 * A schema that must still be visited. A list of these replaces recursion, so that a deep schema
 * needs no stack.
 */
typedef struct Pending {
    JsonSchemaResource *resource;
    JsonValue schema;
    const JsonSchemaPointer *pointer;
    int depth; /* of schemas in schemas */
} Pending;

/*
 * The metaschema is asked about so many levels of schemas at a time, because that recurses. A
 * metaschema that is not built in may look through any number of levels.
 */
#define LEVELS_AT_ONCE 64

static char *
get_string(JsonValue object, const char *key)
{
    JsonValue value;

    if (object.kind != JSON_OBJECT || !json_object_get(object, key, strlen(key), &value) ||
        value.kind != JSON_STRING)
        return NULL;
    return json_string_copy(value);
}

static bool
has_key(JsonValue object, const char *key)
{
    JsonValue value;

    return json_object_get(object, key, strlen(key), &value);
}

/* ---- dialects ----------------------------------------------------------------- */

/* The vocabularies of a metaschema. Those that it does not mention are off. */
static bool
read_vocabularies(JsonSchemaCompile *compile, const JsonSchemaResource *metaschema,
                  JsonSchemaDialect *dialect)
{
    JsonValue list;
    JsonWalk names;
    JsonWalk flags;

    *dialect = metaschema->dialect;
    if (metaschema->root.kind != JSON_OBJECT ||
        !json_object_get(metaschema->root, "$vocabulary", 11, &list) || list.kind != JSON_OBJECT)
        return true;
    dialect->vocabularies = VOCABULARY_CORE;
    json_walk_object(list, &names, &flags);
    while (!json_walk_ended(&names)) {
        char *name = json_string_copy(json_walk_next(&names));
        bool is_required = json_walk_next(&flags).kind == JSON_TRUE;
        uint32 vocabulary = json_schema_vocabulary(name);

        if (!vocabulary && is_required) {
            json_schema_problem(compile, metaschema, NULL, "$vocabulary",
                                "vocabulary \"%s\" is not known", name);
            return false;
        }
        dialect->vocabularies |= vocabulary;
    }
    return true;
}

/* The dialect that a schema names by "$schema"; otherwise the inherited one. */
static JsonSchemaDialect
dialect_of(JsonSchemaCompile *compile, const JsonSchemaResource *resource, JsonValue schema,
           JsonSchemaDialect inherited)
{
    char *uri = get_string(schema, "$schema");
    JsonSchemaDialect dialect = inherited;
    JsonSchemaResource *metaschema;
    char *fragment;
    char *plain;

    if (!uri || json_schema_known_dialect(uri, &dialect))
        return dialect;
    plain = json_schema_uri_split(uri, &fragment);
    /* "#" cannot be a dialect: it would be the schema itself, or the schema that refers to it. */
    metaschema =
        *plain == '\0'
            ? NULL
            : json_schema_find_resource(compile, plain, json_schema_draft_dialect(inherited.draft));
    if (!metaschema) {
        compile->lacks_dialect = true;
        json_schema_problem(compile, resource, NULL, "$schema", "dialect \"%s\" is not known", uri);
        return inherited;
    }
    if (!read_vocabularies(compile, metaschema, &dialect))
        return inherited;
    dialect.metaschema = metaschema;
    return dialect;
}

/* ---- resources and anchors ---------------------------------------------------- */

static JsonSchemaResource *
new_resource(JsonSchemaCompile *compile, const char *uri, JsonValue root, JsonSchemaDialect dialect)
{
    JsonSchemaResource *resource = palloc0(sizeof(JsonSchemaResource));

    resource->uri = uri;
    resource->retrieval_uri = uri;
    resource->root = root;
    resource->dialect = dialect;
    compile->resources = lappend(compile->resources, resource);
    json_schema_enter_resource(compile, uri, resource);
    return resource;
}

static void
add_anchor(JsonSchemaCompile *compile, JsonSchemaResource *resource, const char *name,
           bool is_dynamic, JsonValue target, const JsonSchemaPointer *pointer)
{
    JsonSchemaAnchor *anchor = palloc0(sizeof(JsonSchemaAnchor));

    anchor->name = name;
    anchor->is_dynamic = is_dynamic;
    anchor->target = target;
    anchor->pointer = pointer;
    json_schema_enter_anchor(compile, resource, anchor);
}

static void
index_anchors(JsonSchemaCompile *compile, JsonSchemaResource *resource, JsonValue schema,
              const JsonSchemaPointer *pointer)
{
    int draft = resource->dialect.draft;
    JsonValue flag;
    char *name;

    if (draft >= 2019 && (name = get_string(schema, "$anchor")))
        add_anchor(compile, resource, name, false, schema, pointer);
    if (draft >= 2020 && (name = get_string(schema, "$dynamicAnchor")))
        add_anchor(compile, resource, name, true, schema, pointer);
    if (draft == 2019 && !pointer && json_object_get(schema, "$recursiveAnchor", 16, &flag) &&
        flag.kind == JSON_TRUE)
        resource->has_recursive_anchor = true;
}

static JsonSchemaResource *
embedded_resource(JsonSchemaCompile *compile, const JsonSchemaResource *outer, const char *uri,
                  JsonValue schema, const JsonSchemaPointer **pointer)
{
    JsonSchemaResource *resource = new_resource(compile, uri, schema, outer->dialect);

    resource->is_built_in = outer->is_built_in;
    resource->is_checked = outer->is_checked;
    resource->dialect = dialect_of(compile, resource, schema, outer->dialect);
    if (resource->dialect.draft != outer->dialect.draft ||
        resource->dialect.metaschema != outer->dialect.metaschema) {
        resource->is_checked = true;
        json_schema_check_apart(compile, schema, resource, NULL);
    }
    json_schema_enter_root(compile, resource);
    *pointer = NULL;
    return resource;
}

/* Handles the identifier of a schema. Returns the resource to which the schema belongs then. */
static JsonSchemaResource *
index_identifier(JsonSchemaCompile *compile, JsonSchemaResource *resource, JsonValue schema,
                 const JsonSchemaPointer **pointer)
{
    bool is_root = !*pointer && resource->root.data == schema.data;
    bool ignores_siblings = resource->dialect.draft <= 7 && has_key(schema, "$ref");
    char *id = get_string(schema, resource->dialect.draft == 4 ? "id" : "$id");
    char *fragment;
    char *uri;

    if (!id || ignores_siblings)
        return resource;
    uri = json_schema_uri_split(id, &fragment);
    if (resource->dialect.draft <= 7 && fragment && *fragment)
        add_anchor(compile, resource, fragment, false, schema, *pointer);
    if (*uri == '\0')
        return resource;
    uri = json_schema_uri_resolve(resource->uri, uri);
    if (is_root) {
        resource->uri = uri;
        json_schema_enter_resource(compile, uri, resource);
        return resource;
    }
    return embedded_resource(compile, resource, uri, schema, pointer);
}

/* ---- walking ------------------------------------------------------------------ */

/* "above" has the pointer and the resource of the schema that has the subschema. */
static List *
put_off(List *pending, const Pending *above, JsonValue schema, const char *keyword, JsonValue *name,
        int64 index)
{
    Pending *entry;

    CHECK_FOR_INTERRUPTS();
    if (schema.kind != JSON_OBJECT)
        return pending;
    entry = palloc(sizeof(Pending));
    entry->resource = above->resource;
    entry->schema = schema;
    entry->pointer = json_schema_child_pointer(above->pointer, keyword, name, index);
    entry->depth = above->depth + 1;
    return lappend(pending, entry);
}

static List *
index_list(List *pending, const Pending *above, JsonValue list, const char *keyword)
{
    JsonWalk walk = json_walk_array(list);

    for (int64 i = 0; !json_walk_ended(&walk); i++)
        pending = put_off(pending, above, json_walk_next(&walk), keyword, NULL, i);
    return pending;
}

static List *
index_map(List *pending, const Pending *above, JsonValue map, const char *keyword)
{
    JsonWalk keys;
    JsonWalk values;

    json_walk_object(map, &keys, &values);
    while (!json_walk_ended(&keys)) {
        JsonValue key = json_walk_next(&keys);

        pending = put_off(pending, above, json_walk_next(&values), keyword, &key, -1);
    }
    return pending;
}

static List *
index_keyword(List *pending, const Pending *above, const JsonSchemaKeywordRule *rule,
              JsonValue value)
{
    bool is_array = value.kind == JSON_ARRAY;
    bool is_object = value.kind == JSON_OBJECT;

    switch (rule->shape) {
    case SHAPE_SCHEMA_OR_LIST:
        if (is_array)
            return index_list(pending, above, value, rule->name);
        /* FALLTHROUGH */
    case SHAPE_SCHEMA: return put_off(pending, above, value, rule->name, NULL, -1);
    case SHAPE_LIST: return is_array ? index_list(pending, above, value, rule->name) : pending;
    case SHAPE_MAP:
    case SHAPE_MIXED_MAP: return is_object ? index_map(pending, above, value, rule->name) : pending;
    case SHAPE_NONE: break;
    }
    return pending;
}

/* For those who look at each schema of a document. */
static void
note_visit(JsonSchemaCompile *compile, const Pending *entry)
{
    const JsonSchemaResource *resource = entry->resource;
    JsonSchemaPlace *place;

    if (entry->depth > 0 && entry->depth % LEVELS_AT_ONCE == 0 && resource->is_checked &&
        !resource->dialect.metaschema)
        json_schema_check_apart(compile, entry->schema, resource, entry->pointer);
    if (!compile->keeps_visited)
        return;
    place = palloc(sizeof(JsonSchemaPlace));
    place->resource = resource;
    place->schema = entry->schema;
    place->pointer = entry->pointer;
    compile->visited = lappend(compile->visited, place);
}

/* Visits one schema object. Its subschemas are added to the list. */
static List *
index_schema(JsonSchemaCompile *compile, List *pending, Pending entry)
{
    JsonWalk keys;
    JsonWalk values;

    CHECK_FOR_INTERRUPTS();
    entry.resource = index_identifier(compile, entry.resource, entry.schema, &entry.pointer);
    index_anchors(compile, entry.resource, entry.schema, entry.pointer);
    note_visit(compile, &entry);
    json_walk_object(entry.schema, &keys, &values);
    while (!json_walk_ended(&keys)) {
        JsonValue key = json_walk_next(&keys);
        JsonValue value = json_walk_next(&values);
        const JsonSchemaKeywordRule *rule;

        if (value.kind != JSON_OBJECT && value.kind != JSON_ARRAY)
            continue;
        rule = json_schema_find_rule(&entry.resource->dialect, key);
        if (rule)
            pending = index_keyword(pending, &entry, rule, value);
    }
    return pending;
}

static void
index_schemas(JsonSchemaCompile *compile, JsonSchemaResource *resource, JsonValue root)
{
    List *pending = NIL;
    Pending first = {resource, root, NULL, 0};

    if (root.kind != JSON_OBJECT)
        return;
    pending = index_schema(compile, NIL, first);
    for (int i = 0; i < list_length(pending); i++) {
        Pending entry = *(Pending *)list_nth(pending, i);

        pfree(list_nth(pending, i));
        pending = index_schema(compile, pending, entry);
    }
    list_free(pending);
}

JsonSchemaResource *
json_schema_index_document(JsonSchemaCompile *compile, const char *uri, JsonValue root,
                           JsonSchemaDialect dialect, JsonSchemaOrigin origin)
{
    JsonSchemaResource *resource = new_resource(compile, uri, root, dialect);

    check_stack_depth(); /* a dialect is a document, which may name another dialect */
    resource->is_built_in = origin == ORIGIN_BUILT_IN;
    resource->is_checked = origin != ORIGIN_LOADER || get_string(root, "$schema");
    resource->dialect = dialect_of(compile, resource, root, dialect);
    if (resource->is_checked)
        json_schema_check_later(compile, root, resource, NULL);
    json_schema_enter_root(compile, resource);
    index_schemas(compile, resource, root);
    return resource;
}

/* ---- looking up --------------------------------------------------------------- */

JsonSchemaResource *
json_schema_find_resource(JsonSchemaCompile *compile, const char *uri, JsonSchemaDialect dialect)
{
    const Jsonb *document;
    Jsonb *copy;
    JsonSchemaResource *known = json_schema_known_resource(compile, uri);
    JsonSchemaOrigin origin = ORIGIN_BUILT_IN;

    if (known)
        return known;
    document = json_schema_builtin_document(uri);
    if (!document && compile->options.loader) {
        document = compile->options.loader(uri);
        origin = ORIGIN_LOADER;
        compile->program->uses_loader = true;
    }
    if (!document)
        return NULL;
    copy = palloc(VARSIZE(document));
    memcpy(copy, document, VARSIZE(document));
    return json_schema_index_document(compile, uri, json_value_of_jsonb(copy), dialect, origin);
}

/* Goes one step down; false when there is no such member. */
static bool
step_into(JsonValue *value, const char *token)
{
    int64 index;

    if (value->kind == JSON_OBJECT)
        return json_object_get(*value, token, strlen(token), value);
    index = value->kind == JSON_ARRAY ? json_pointer_index(token) : -1;
    if (index < 0 || index >= json_count(*value))
        return false;
    *value = json_array_item(*value, (uint32)index);
    return true;
}

static JsonValue
token_value(StringInfo token)
{
    JsonValue value = {pnstrdup(token->data, token->len), token->len, JSON_STRING};

    return value;
}

JsonSchemaLevel
json_schema_level_below(const JsonSchemaDialect *dialect, JsonSchemaLevel level, JsonValue token,
                        JsonValue value)
{
    const JsonSchemaKeywordRule *rule;

    if (level != LEVEL_SCHEMA)
        return level == LEVEL_SCHEMAS ? LEVEL_SCHEMA : LEVEL_VALUE;
    rule = json_schema_find_rule(dialect, token);
    switch (rule ? rule->shape : SHAPE_NONE) {
    case SHAPE_SCHEMA: return LEVEL_SCHEMA;
    case SHAPE_LIST:
    case SHAPE_MAP:
    case SHAPE_MIXED_MAP: return LEVEL_SCHEMAS;
    case SHAPE_SCHEMA_OR_LIST: return value.kind == JSON_ARRAY ? LEVEL_SCHEMAS : LEVEL_SCHEMA;
    case SHAPE_NONE: break;
    }
    return LEVEL_VALUE;
}

/*
 * The node to which a reference leads. What is not a schema by its place in the document, such as a
 * member of an unknown keyword, is checked for its own sake.
 */
static JsonSchemaNode *
target_node(JsonSchemaCompile *compile, JsonValue value, const JsonSchemaResource *resource,
            const JsonSchemaPointer *pointer, JsonSchemaLevel level)
{
    JsonSchemaNode *node = json_schema_node(compile, value, resource, pointer);

    if ((level != LEVEL_SCHEMA || !resource->is_checked) && !node->is_to_check) {
        node->is_to_check = true;
        json_schema_check_later(compile, value, node->resource, node->pointer);
    }
    return node;
}

/* Follows a JSON Pointer. It may lead into an embedded resource. */
static JsonSchemaNode *
resolve_pointer(JsonSchemaCompile *compile, const JsonSchemaResource *resource,
                const char *fragment)
{
    JsonValue value = resource->root;
    JsonSchemaLevel level = LEVEL_SCHEMA;
    StringInfoData token;
    const JsonSchemaPointer *pointer = NULL;

    initStringInfo(&token);
    while (json_pointer_next(&fragment, &token)) {
        const JsonSchemaResource *inner;
        JsonValue step;

        if (!step_into(&value, token.data))
            return NULL;
        step = token_value(&token);
        pointer = json_schema_child_pointer(pointer, NULL, &step, -1);
        level = json_schema_level_below(&resource->dialect, level, step, value);
        if ((inner = json_schema_root_at(compile, value))) {
            resource = inner;
            pointer = NULL;
            level = LEVEL_SCHEMA;
        }
    }
    if (*fragment ||
        (value.kind != JSON_OBJECT && value.kind != JSON_TRUE && value.kind != JSON_FALSE))
        return NULL;
    return target_node(compile, value, resource, pointer, level);
}

JsonSchemaNode *
json_schema_resolve(JsonSchemaCompile *compile, const JsonSchemaNode *from, const char *keyword,
                    const char *reference, const JsonSchemaAnchor **anchor)
{
    char *fragment;
    char *uri =
        json_schema_uri_split(json_schema_uri_resolve(from->resource->uri, reference), &fragment);
    JsonSchemaResource *resource = json_schema_find_resource(compile, uri, from->resource->dialect);
    const JsonSchemaAnchor *found = NULL;
    JsonSchemaNode *node = NULL;

    if (resource && (!fragment || *fragment == '\0' || *fragment == '/')) {
        node = resolve_pointer(compile, resource, fragment ? fragment : "");
    } else if (resource && (found = json_schema_find_anchor(compile, resource, fragment, false))) {
        node = target_node(compile, found->target, resource, found->pointer, LEVEL_SCHEMA);
    }
    if (node && !compile->options.is_stored &&
        (resource->is_ambiguous || (found && found->is_ambiguous))) {
        json_schema_problem(compile, from->resource, from->pointer, keyword,
                            "reference \"%s\" points to several schemas", reference);
        node = NULL;
    } else if (!node)
        json_schema_problem(compile, from->resource, from->pointer, keyword,
                            resource ? "reference \"%s\" points to no schema"
                                     : "reference \"%s\" is to a document that is not known",
                            reference);
    if (anchor)
        *anchor = found;
    return node;
}
