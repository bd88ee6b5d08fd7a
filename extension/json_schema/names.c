/*
 * json_schema/names.c: a hash table of the resources and anchors of one compilation by name, so
 * that even thousands of them cost only a look-up each.
 */
#include "extension/base/compat.h"

#include "common/hashfn.h"

#include "extension/json_schema/internal.h"

/*
 * The key: a name with its owner. The owner is the resource of an anchor, or the compilation for
 * any other name.
 */
typedef struct NameKey {
    const void *owner;
    const char *name;
} NameKey;

typedef struct NameEntry {
    NameKey key;
    JsonSchemaResource *resource;
    JsonSchemaAnchor *anchor;
    const JsonSchemaAnchor *dynamic_anchor;
    JsonSchemaCandidates *candidates;
} NameEntry;

static uint32
hash_name(const void *key, Size size)
{
    const NameKey *name = key;
    uint32 hash = hash_bytes((const unsigned char *)name->name, (int)strlen(name->name));

    return hash_combine(hash, (uint32)((uintptr_t)name->owner >> 4));
}

static int
compare_names(const void *a, const void *b, Size size)
{
    const NameKey *x = a;
    const NameKey *y = b;

    return x->owner != y->owner || strcmp(x->name, y->name) != 0;
}

HTAB *
json_schema_names_new(MemoryContext context)
{
    HASHCTL control;

    memset(&control, 0, sizeof(control));
    control.keysize = sizeof(NameKey);
    control.entrysize = sizeof(NameEntry);
    control.hash = hash_name;
    control.match = compare_names;
    control.hcxt = context;
    return hash_create("JSON Schema names", 64, &control,
                       HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
}

static NameEntry *
find(const JsonSchemaCompile *compile, const void *owner, const char *name, HASHACTION action)
{
    NameKey key = {owner, name};
    bool found;
    NameEntry *entry = hash_search(compile->names, &key, action, &found);

    if (entry && !found)
        memset((char *)entry + sizeof(NameKey), 0, sizeof(NameEntry) - sizeof(NameKey));
    return entry;
}

/* A schema may be entered again, and bundles may have the same one twice. */
static bool
is_other(JsonValue first, JsonValue schema)
{
    return first.data != schema.data && !json_values_equal(first, schema);
}

void
json_schema_enter_resource(JsonSchemaCompile *compile, const char *uri,
                           JsonSchemaResource *resource)
{
    NameEntry *entry = find(compile, NULL, uri, HASH_ENTER);

    if (!entry->resource)
        entry->resource = resource;
    else if (is_other(entry->resource->root, resource->root))
        entry->resource->is_ambiguous = true;
}

JsonSchemaResource *
json_schema_known_resource(const JsonSchemaCompile *compile, const char *uri)
{
    NameEntry *entry = find(compile, NULL, uri, HASH_FIND);

    return entry ? entry->resource : NULL;
}

void
json_schema_enter_anchor(JsonSchemaCompile *compile, const JsonSchemaResource *resource,
                         JsonSchemaAnchor *anchor)
{
    NameEntry *entry = find(compile, resource, anchor->name, HASH_ENTER);

    if (!entry->anchor)
        entry->anchor = anchor;
    else if (is_other(entry->anchor->target, anchor->target))
        entry->anchor->is_ambiguous = true;
    if (!entry->dynamic_anchor && anchor->is_dynamic)
        entry->dynamic_anchor = anchor;
}

const JsonSchemaAnchor *
json_schema_find_anchor(const JsonSchemaCompile *compile, const JsonSchemaResource *resource,
                        const char *name, bool dynamic_only)
{
    NameEntry *entry = find(compile, resource, name, HASH_FIND);

    if (!entry)
        return NULL;
    return dynamic_only ? entry->dynamic_anchor : entry->anchor;
}

JsonSchemaCandidates *
json_schema_candidates(JsonSchemaCompile *compile, const char *anchor)
{
    /* The owner of these names is the compilation. */
    NameEntry *entry = find(compile, compile, anchor, HASH_ENTER);

    if (!entry->candidates) {
        entry->candidates = palloc0(sizeof(JsonSchemaCandidates));
        entry->candidates->anchor = anchor;
        compile->candidates = lappend(compile->candidates, entry->candidates);
    }
    return entry->candidates;
}

JsonSchemaNode *
json_schema_candidate_in(JsonSchemaCompile *compile, const JsonSchemaCandidates *candidates,
                         const JsonSchemaResource *resource)
{
    const JsonSchemaAnchor *anchor;

    if (*candidates->anchor == '\0')
        return resource->has_recursive_anchor
                   ? json_schema_node(compile, resource->root, resource, NULL)
                   : NULL;
    anchor = json_schema_find_anchor(compile, resource, candidates->anchor, true);
    return anchor ? json_schema_node(compile, anchor->target, resource, anchor->pointer) : NULL;
}
