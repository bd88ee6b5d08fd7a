/*
 * json_schema/sql/cache.h: compiled schemas of this backend, by content.
 *
 * Who uses one holds a reference; schemas without references stay until the byte budget
 * (ctms.json_schema_cache_size) needs their room, the longest unused first. A schema that
 * read registered documents becomes stale when those change: its holders must then
 * acquire it again.
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
    Jsonb *schema;
    struct JsonSchemaCached *next;
} JsonSchemaCached;

/* Compiles when it is not there; a schema that is not valid is an error (22023). */
extern JsonSchemaCached *json_schema_cache_acquire(const Jsonb *schema, int draft, int asserts);
extern void json_schema_cache_release(JsonSchemaCached *cached);

/* Whether a held one may go on being used, by what other sessions have committed by now. */
extern bool json_schema_cache_is_current(const JsonSchemaCached *cached);

/* Bytes of all programs in the cache. */
extern Size json_schema_cache_bytes(void);

/* Defines ctms.json_schema_cache_size; called once, by _PG_init. */
extern void json_schema_cache_init(void);

/* Where documents come from that schemas refer to; called once, by the registry. */
extern void json_schema_cache_set_loader(JsonSchemaLoader registry);
/* Those documents changed: what read them is stale. */
extern void json_schema_cache_forget_registry(void);

/* ---- json_schema/sql/registry.c ------------------------------------------------------ */

/* Fetches a document from ctms.json_schema_document: a JsonSchemaLoader. */
extern const Jsonb *json_schema_registry_load(const char *uri);
/* Tells the cache of the documents and of their changes; called once, by _PG_init. */
extern void json_schema_registry_init(void);

#endif
