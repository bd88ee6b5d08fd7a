/*
 * waitlist/schema.c: the stored schemas of waitlists, compiled, by name.
 *
 * Each session keeps the schemas that it has looked up until the relcache of the table is
 * invalidated. A trigger of ctms.waitlist_fields_schemas asks for this invalidation with every
 * change. An entry that is out of date is looked up again with the latest snapshot, like catalog
 * reads do, so that no transaction continues to use a schema that a committed change has
 * replaced. A lock makes sure that no row is stored while its schema changes: see
 * waitlist/trigger.c.
 */
#include "extension/base/compat.h"

#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"

#include "extension/base/stored_jsonb.h"
#include "extension/base/watched_table.h"
#include "extension/waitlist/schema.h"

/* varchar(255) with at most four bytes for each character, and the terminating zero. */
#define NAME_BYTES (255 * 4 + 1)
/* Names that have no schema are remembered too. At most this many names are kept. */
#define MAX_ENTRIES 10000

typedef struct SchemaEntry {
    char name[NAME_BYTES];
    uint64 generation;        /* of the table when it was looked up */
    JsonSchemaCached *cached; /* for the name, otherwise for "default"; NULL: neither exists */
} SchemaEntry;

static HTAB *entries;
static WatchedTable table = {.name = "waitlist_fields_schemas"};
static SPIPlanPtr load_plan;

void
waitlist_schema_init(void)
{
    watched_table_add(&table);
}

/* The stored schema of a name, in the current context; NULL when there is none. */
static Jsonb *
load(const char *name)
{
    if (!OidIsValid(watched_table_find(&table)))
        ereport(ERROR, errcode(ERRCODE_UNDEFINED_TABLE),
                errmsg("relation \"%s\" does not exist", "ctms.waitlist_fields_schemas"));
    return stored_jsonb_read(table.oid, &load_plan,
                             "SELECT schema::pg_catalog.jsonb FROM ctms.waitlist_fields_schemas"
                             " WHERE name OPERATOR(pg_catalog.=) $1::pg_catalog.varchar",
                             name);
}

static void
forget_all(void)
{
    HASH_SEQ_STATUS scan;
    SchemaEntry *entry;

    hash_seq_init(&scan, entries);
    while ((entry = hash_seq_search(&scan)))
        if (entry->cached)
            json_schema_cache_release(entry->cached);
    hash_destroy(entries);
    entries = NULL;
}

static void
make_table(void)
{
    HASHCTL control;

    if (entries && hash_get_num_entries(entries) >= MAX_ENTRIES)
        forget_all();
    if (entries)
        return;
    memset(&control, 0, sizeof(control));
    control.keysize = NAME_BYTES;
    control.entrysize = sizeof(SchemaEntry);
    control.hcxt = TopMemoryContext;
    entries =
        hash_create("ctms waitlist schemas", 64, &control, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
}

static SchemaEntry *
refresh(const char *name)
{
    /* If a change arrives while the row is read, the new entry is out of date at once. */
    uint64 read_at = table.generation;
    Jsonb *own = load(name);
    Jsonb *schema = own ? own : load("default");
    JsonSchemaCached *cached = schema ? json_schema_cache_acquire_stored(schema) : NULL;
    SchemaEntry *entry;
    bool found;

    make_table();
    entry = hash_search(entries, name, HASH_ENTER, &found);
    if (found && entry->cached)
        json_schema_cache_release(entry->cached);
    entry->cached = cached;
    entry->generation = read_at;
    if (schema)
        pfree(schema);
    return entry;
}

static JsonSchemaCached *
find(const char *name)
{
    SchemaEntry *entry = entries ? hash_search(entries, name, HASH_FIND, NULL) : NULL;

    if (!entry || entry->generation != table.generation ||
        (entry->cached && entry->cached->is_stale))
        entry = refresh(name);
    return entry->cached;
}

const JsonSchemaProgram *
waitlist_schema_program(const char *name)
{
    JsonSchemaCached *cached;

    AcceptInvalidationMessages();
    cached = find(strlen(name) < NAME_BYTES ? name : "default");
    return cached ? cached->program : NULL;
}

static void
release_cached(void *cached)
{
    json_schema_cache_release(cached);
}

/*
 * Compiles a schema that is about to be stored and keeps it until the transaction ends, so that
 * no time is spent on compiling while writers are locked out.
 */
PG_FUNCTION_INFO_V1(ctms__prepare_waitlist_schema);
PGDLLEXPORT Datum
ctms__prepare_waitlist_schema(PG_FUNCTION_ARGS)
{
    MemoryContextCallback *callback =
        MemoryContextAlloc(CurTransactionContext, sizeof(MemoryContextCallback));

    callback->func = release_cached;
    callback->arg = json_schema_cache_acquire_whole(PG_GETARG_JSONB_P(0));
    MemoryContextRegisterResetCallback(CurTransactionContext, callback);
    PG_RETURN_VOID();
}

/* Raises the error that whoever writes a waitlist with this stored schema gets, if any. */
PG_FUNCTION_INFO_V1(ctms__use_waitlist_schema);
PGDLLEXPORT Datum
ctms__use_waitlist_schema(PG_FUNCTION_ARGS)
{
    json_schema_cache_release(json_schema_cache_acquire_stored(PG_GETARG_JSONB_P(0)));
    PG_RETURN_VOID();
}
