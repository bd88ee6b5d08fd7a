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
} Pending;

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
        json_schema_problem(compile, resource, NULL, "$schema", "dialect \"%s\" is not known", uri);
        return inherited;
    }
    if (!read_vocabularies(compile, metaschema, &dialect))
        return inherited;
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
    JsonSchemaAnchor *anchor = palloc(sizeof(JsonSchemaAnchor));

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
    resource = new_resource(compile, uri, schema, resource->dialect);
    resource->dialect = dialect_of(compile, resource, schema, resource->dialect);
    json_schema_enter_root(compile, resource);
    *pointer = NULL;
    return resource;
}

/* ---- walking ------------------------------------------------------------------ */

static List *
put_off(List *pending, JsonSchemaResource *resource, JsonValue schema,
        const JsonSchemaPointer *parent, const char *keyword, JsonValue *name, int64 index)
{
    Pending *entry;

    CHECK_FOR_INTERRUPTS();
    if (schema.kind != JSON_OBJECT)
        return pending;
    entry = palloc(sizeof(Pending));
    entry->resource = resource;
    entry->schema = schema;
    entry->pointer = json_schema_child_pointer(parent, keyword, name, index);
    return lappend(pending, entry);
}

static List *
index_list(List *pending, JsonSchemaResource *resource, JsonValue list,
           const JsonSchemaPointer *pointer, const char *keyword)
{
    JsonWalk walk = json_walk_array(list);

    for (int64 i = 0; !json_walk_ended(&walk); i++)
        pending = put_off(pending, resource, json_walk_next(&walk), pointer, keyword, NULL, i);
    return pending;
}

static List *
index_map(List *pending, JsonSchemaResource *resource, JsonValue map,
          const JsonSchemaPointer *pointer, const char *keyword)
{
    JsonWalk keys;
    JsonWalk values;

    json_walk_object(map, &keys, &values);
    while (!json_walk_ended(&keys)) {
        JsonValue key = json_walk_next(&keys);

        pending = put_off(pending, resource, json_walk_next(&values), pointer, keyword, &key, -1);
    }
    return pending;
}

static List *
index_keyword(List *pending, JsonSchemaResource *resource, const JsonSchemaKeywordRule *rule,
              JsonValue value, const JsonSchemaPointer *pointer)
{
    bool is_array = value.kind == JSON_ARRAY;
    bool is_object = value.kind == JSON_OBJECT;

    switch (rule->shape) {
    case SHAPE_SCHEMA_OR_LIST:
        if (is_array)
            return index_list(pending, resource, value, pointer, rule->name);
        /* FALLTHROUGH */
    case SHAPE_SCHEMA: return put_off(pending, resource, value, pointer, rule->name, NULL, -1);
    case SHAPE_LIST:
        return is_array ? index_list(pending, resource, value, pointer, rule->name) : pending;
    case SHAPE_MAP:
    case SHAPE_MIXED_MAP:
        return is_object ? index_map(pending, resource, value, pointer, rule->name) : pending;
    case SHAPE_NONE: break;
    }
    return pending;
}

/* Visits one schema object. Its subschemas are added to the list. */
static List *
index_schema(JsonSchemaCompile *compile, List *pending, JsonSchemaResource *resource,
             JsonValue schema, const JsonSchemaPointer *pointer)
{
    JsonWalk keys;
    JsonWalk values;

    CHECK_FOR_INTERRUPTS();
    resource = index_identifier(compile, resource, schema, &pointer);
    index_anchors(compile, resource, schema, pointer);
    json_walk_object(schema, &keys, &values);
    while (!json_walk_ended(&keys)) {
        JsonValue key = json_walk_next(&keys);
        JsonValue value = json_walk_next(&values);
        const JsonSchemaKeywordRule *rule;

        if (value.kind != JSON_OBJECT && value.kind != JSON_ARRAY)
            continue;
        rule = json_schema_find_rule(&resource->dialect, key);
        if (rule)
            pending = index_keyword(pending, resource, rule, value, pointer);
    }
    return pending;
}

static void
index_schemas(JsonSchemaCompile *compile, JsonSchemaResource *resource, JsonValue root)
{
    List *pending = NIL;

    if (root.kind != JSON_OBJECT)
        return;
    pending = index_schema(compile, NIL, resource, root, NULL);
    for (int i = 0; i < list_length(pending); i++) {
        Pending entry = *(Pending *)list_nth(pending, i);

        pfree(list_nth(pending, i));
        pending = index_schema(compile, pending, entry.resource, entry.schema, entry.pointer);
    }
    list_free(pending);
}

JsonSchemaResource *
json_schema_index_document(JsonSchemaCompile *compile, const char *uri, JsonValue root,
                           JsonSchemaDialect dialect)
{
    JsonSchemaResource *resource = new_resource(compile, uri, root, dialect);

    check_stack_depth(); /* a dialect is a document, which may name another dialect */
    resource->dialect = dialect_of(compile, resource, root, dialect);
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

    if (known)
        return known;
    document = json_schema_builtin_document(uri);
    if (!document && compile->options.loader) {
        document = compile->options.loader(uri);
        compile->program->uses_loader = true;
    }
    if (!document)
        return NULL;
    copy = palloc(VARSIZE(document));
    memcpy(copy, document, VARSIZE(document));
    return json_schema_index_document(compile, uri, json_value_of_jsonb(copy), dialect);
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

/* Follows a JSON Pointer. It may lead into an embedded resource. */
static JsonSchemaNode *
resolve_pointer(JsonSchemaCompile *compile, const JsonSchemaResource *resource,
                const char *fragment)
{
    JsonValue value = resource->root;
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
        if ((inner = json_schema_root_at(compile, value))) {
            resource = inner;
            pointer = NULL;
        }
    }
    if (*fragment ||
        (value.kind != JSON_OBJECT && value.kind != JSON_TRUE && value.kind != JSON_FALSE))
        return NULL;
    return json_schema_node(compile, value, resource, pointer);
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
        node = json_schema_node(compile, found->target, resource, found->pointer);
    }
    if (!node)
        json_schema_problem(compile, from->resource, from->pointer, keyword,
                            resource ? "reference \"%s\" points to no schema"
                                     : "reference \"%s\" is to a document that is not known",
                            reference);
    if (anchor)
        *anchor = found;
    return node;
}
