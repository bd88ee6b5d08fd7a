/*
 * json_schema/sql/cache.c: the compiled schemas of this backend, found by their content. See
 * cache.h.
 */
#include "extension/base/compat.h"

#include "common/hashfn.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/memutils.h"

#include "extension/json_schema/sql/cache.h"

#define N_BUCKETS 1024

static int cache_size_kb = 64 * 1024;
static JsonSchemaCached *buckets[N_BUCKETS];
static MemoryContext cache_context;
static Size cache_bytes;
static dlist_head unused = DLIST_STATIC_INIT(unused); /* without references, the longest unused
                                                       * first */
static uint64 registry_changes;
static JsonSchemaLoader loader;

void
json_schema_cache_init(void)
{
    DefineCustomIntVariable("ctms.json_schema_cache_size",
                            "Memory that compiled JSON Schemas may take in each session.",
                            "Schemas in use do not count against it.", &cache_size_kb, 64 * 1024, 0,
                            MAX_KILOBYTES, PGC_USERSET, GUC_UNIT_KB, NULL, NULL, NULL);
}

void
json_schema_cache_set_loader(JsonSchemaLoader registry)
{
    loader = registry;
}

/* Drops an entry that has no references. */
static void
drop(JsonSchemaCached *cached)
{
    JsonSchemaCached **link = &buckets[cached->hash % N_BUCKETS];

    while (*link != cached)
        link = &(*link)->next;
    *link = cached->next;
    dlist_delete(&cached->unused);
    cache_bytes -= cached->bytes;
    json_schema_free(cached->program);
    pfree(cached->schema);
    pfree(cached);
}

static void
keep_within_budget(void)
{
    while (cache_bytes > (Size)cache_size_kb * 1024 && !dlist_is_empty(&unused))
        drop(dlist_head_element(JsonSchemaCached, unused, &unused));
}

static bool
has_options(const JsonSchemaCached *cached, const JsonSchemaOptions *options)
{
    return cached->draft == options->draft && cached->asserts == options->asserts &&
           (options->is_stored || !cached->is_stored) && (cached->is_whole || !options->is_whole);
}

static JsonSchemaCached *
find(const Jsonb *schema, uint32 hash, const JsonSchemaOptions *options)
{
    JsonSchemaCached *cached = buckets[hash % N_BUCKETS];

    for (; cached; cached = cached->next)
        if (cached->hash == hash && !cached->is_stale && has_options(cached, options) &&
            VARSIZE(cached->schema) == VARSIZE(schema) &&
            memcmp(cached->schema, schema, VARSIZE(schema)) == 0)
            return cached;
    return NULL;
}

static JsonSchemaCached *
add(const Jsonb *schema, uint32 hash, const JsonSchemaOptions *options)
{
    uint64 changes_before = registry_changes;
    JsonSchemaProgram *program;
    JsonSchemaCached *cached;

    if (!cache_context)
        cache_context =
            AllocSetContextCreate(TopMemoryContext, "ctms JSON Schemas", ALLOCSET_DEFAULT_SIZES);
    program = json_schema_compile(schema, options, cache_context, NULL);
    cached = MemoryContextAllocZero(cache_context, sizeof(JsonSchemaCached));
    cached->schema = MemoryContextAlloc(cache_context, VARSIZE(schema));
    memcpy(cached->schema, schema, VARSIZE(schema));
    cached->program = program;
    /* A document that was read may have changed during the compilation. */
    cached->is_stale = json_schema_uses_loader(program) && registry_changes != changes_before;
    cached->hash = hash;
    cached->draft = options->draft;
    cached->asserts = options->asserts;
    cached->is_stored = options->is_stored;
    cached->is_whole = options->is_whole;
    cached->bytes = json_schema_program_size(program) + VARSIZE(schema) + sizeof(JsonSchemaCached);
    cached->next = buckets[hash % N_BUCKETS];
    buckets[hash % N_BUCKETS] = cached;
    dlist_push_tail(&unused, &cached->unused);
    cache_bytes += cached->bytes;
    return cached;
}

bool
json_schema_cache_is_current(const JsonSchemaCached *cached)
{
    /* Documents may have changed since the transaction last received invalidations. */
    if (json_schema_uses_loader(cached->program))
        AcceptInvalidationMessages();
    return !cached->is_stale;
}

static JsonSchemaCached *
acquire(const Jsonb *schema, const JsonSchemaOptions *options)
{
    uint32 hash = hash_bytes((const unsigned char *)schema, VARSIZE(schema));
    JsonSchemaCached *cached = find(schema, hash, options);

    if (!cached || !json_schema_cache_is_current(cached))
        cached = add(schema, hash, options);
    if (cached->n_references++ == 0)
        dlist_delete(&cached->unused);
    keep_within_budget();
    return cached;
}

JsonSchemaCached *
json_schema_cache_acquire(const Jsonb *schema, int draft, int asserts)
{
    JsonSchemaOptions options = {.draft = draft, .asserts = asserts, .loader = loader};

    return acquire(schema, &options);
}

JsonSchemaCached *
json_schema_cache_acquire_whole(const Jsonb *schema)
{
    JsonSchemaOptions options = {.loader = loader, .is_whole = true};

    return acquire(schema, &options);
}

JsonSchemaCached *
json_schema_cache_acquire_stored(const Jsonb *schema)
{
    JsonSchemaOptions options = {.loader = loader, .is_stored = true};

    return acquire(schema, &options);
}

void
json_schema_cache_release(JsonSchemaCached *cached)
{
    if (--cached->n_references > 0)
        return;
    dlist_push_tail(&unused, &cached->unused);
    if (cached->is_stale)
        drop(cached);
    else
        keep_within_budget();
}

void
json_schema_cache_forget_registry(void)
{
    registry_changes++;
    for (int i = 0; i < N_BUCKETS; i++)
        for (JsonSchemaCached *cached = buckets[i]; cached; cached = cached->next)
            if (json_schema_uses_loader(cached->program))
                cached->is_stale = true;
}
