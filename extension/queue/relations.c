/*
 * queue/relations.c: remembers the OIDs of the queue's relations.
 *
 * Every commit that changes a contact asks for them. When any name in the catalogs changes, they
 * are looked up again, also when it changes while they are looked up. What is found then is
 * right for this call, as in any statement, even if names never stop changing.
 */
#include "extension/base/compat.h"

#include "catalog/namespace.h"
#include "catalog/pg_namespace_d.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "extension/base/gate.h"
#include "extension/queue/relations.h"

/* How often they are looked up again because a name has changed meanwhile. */
#define MAX_LOOKS 10

static QueueRelations relations;
static bool are_known = false;
static uint64 change_count = 0;

static void
forget(Datum arg, int cache, uint32 hash)
{
    are_known = false;
    change_count++;
}

static void
watch_catalogs(void)
{
    static bool is_watching = false;

    if (is_watching)
        return;
    CacheRegisterSyscacheCallback(RELNAMENSP, forget, (Datum)0);
    CacheRegisterSyscacheCallback(NAMESPACENAME, forget, (Datum)0);
    is_watching = true;
}

static Oid
find_required(const char *name, Oid schema)
{
    Oid found = get_relname_relid(name, schema);

    if (!OidIsValid(found))
        ereport(ERROR, errcode(ERRCODE_UNDEFINED_TABLE),
                errmsg("table \"%s.%s\" does not exist", "ctms", name),
                errdetail("Without it, the change would never be sent to Acoustic."));
    return found;
}

static void
look_up(void)
{
    Oid schema = get_namespace_oid("ctms", false);

    relations.queue = find_required("pending_acoustic", schema);
    relations.emails = find_required("emails", schema);
    relations.flush = find_required("_queue_flush", schema);
    relations.idle_sequence = get_relname_relid("acoustic_idle_seq", schema);
    relations.deleted_contacts = get_relname_relid("acoustic_deleted_contact", schema);
    relations.deleted_rows = get_relname_relid("acoustic_deleted_row", schema);
    relations.sent = get_relname_relid("acoustic_sent", schema);
    relations.is_local = !OidIsValid(get_relname_relid("pg_dist_partition", PG_CATALOG_NAMESPACE));
}

const QueueRelations *
queue_relations(void)
{
    watch_catalogs();
    for (int i = 0; i < MAX_LOOKS && !are_known; i++) {
        uint64 before = change_count;

        look_up();
        are_known = change_count == before;
    }
    return &relations;
}

bool
queue_is_table_used(Oid table)
{
    return !queue_relations()->is_local || !OidIsValid(table) || !gate_is_empty(table);
}
