/*
 * json_schema/sql/cache.h: the compiled schemas of this backend, found by their content.
 *
 * A user of a compiled schema holds a reference to it. Schemas without references stay until
 * their memory is needed to keep within the byte budget (ctms.json_schema_cache_size); those that
 * have been unused longest go first. A schema that has read registered documents becomes stale
 * when these change. Its users must then acquire it again.
 */
#ifndef CTMS_JSON_SCHEMA_CACHE_H
#define CTMS_JSON_SCHEMA_CACHE_H

#include "lib/ilist.h"

#include "extension/json_schema/json_schema.h"

typedef struct JsonSchemaCached {
    JsonSchemaProgram *program;
    bool is_stale;
    /* Private to the cache. */
    int n_references;
    uint32 hash;
    dlist_node unused; /* in the list of those without references */
    Size bytes;
    int draft;
    int asserts;
    bool is_stored; /* its metaschema was not asked */
    bool is_whole;  /* with definitions that nothing refers to */
    Jsonb *schema;
    struct JsonSchemaCached *next;
} JsonSchemaCached;

/* Compiles the schema if it is not in the cache. A schema that is not valid is an error (22023). */
extern JsonSchemaCached *json_schema_cache_acquire(const Jsonb *schema, int draft, int asserts);
/*
 * The same, without options, for a schema that is about to be stored: what is wrong with a
 * definition that nothing refers to is an error too.
 */
extern JsonSchemaCached *json_schema_cache_acquire_whole(const Jsonb *schema);
/*
 * The same, without options, for a schema that was checked when it was stored. Stored schemas of a
 * database that is older than the check are used as they are.
 */
extern JsonSchemaCached *json_schema_cache_acquire_stored(const Jsonb *schema);
extern void json_schema_cache_release(JsonSchemaCached *cached);

/*
 * Whether a schema that the caller holds can still be used, given what other sessions have
 * committed by now.
 */
extern bool json_schema_cache_is_current(const JsonSchemaCached *cached);

/* Defines ctms.json_schema_cache_size; called once, by _PG_init. */
extern void json_schema_cache_init(void);

/*
 * Sets the function that loads the documents to which schemas refer. Called once, by the
 * registry.
 */
extern void json_schema_cache_set_loader(JsonSchemaLoader registry);
/* Must be called when these documents change. Schemas that have read them become stale. */
extern void json_schema_cache_forget_registry(void);

/* ---- json_schema/sql/registry.c ------------------------------------------------------ */

/* Reads a document from ctms.json_schema_document. It is a JsonSchemaLoader. */
extern const Jsonb *json_schema_registry_load(const char *uri);
/* Connects the cache to the documents and their changes. Called once, by _PG_init. */
extern void json_schema_registry_init(void);

#endif
