/*
 * queue/relations.c: remembers the OIDs of the queue's relations.
 *
 * Every commit that changes a contact asks for them. When any name in the catalogs changes, they
 * are looked up again.
 */
#include "extension/base/compat.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_namespace_d.h"
#include "storage/bufmgr.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "extension/queue/relations.h"

static QueueRelations relations;
static bool are_known = false;

static void
forget(Datum arg, int cache, uint32 hash)
{
    are_known = false;
}

const QueueRelations *
queue_relations(void)
{
    static bool is_watching = false;
    Oid schema;

    if (!is_watching) {
        CacheRegisterSyscacheCallback(RELNAMENSP, forget, (Datum)0);
        CacheRegisterSyscacheCallback(NAMESPACENAME, forget, (Datum)0);
        is_watching = true;
    }
    if (are_known)
        return &relations;

    schema = get_namespace_oid("ctms", true);
    if (!OidIsValid(schema))
        return NULL;
    relations.queue = get_relname_relid("pending_acoustic", schema);
    relations.emails = get_relname_relid("emails", schema);
    relations.id_sequence = get_relname_relid("pending_acoustic_id_seq", schema);
    relations.idle_sequence = get_relname_relid("acoustic_idle_seq", schema);
    relations.deleted_contacts = get_relname_relid("acoustic_deleted_contact", schema);
    relations.deleted_rows = get_relname_relid("acoustic_deleted_row", schema);
    relations.sent = get_relname_relid("acoustic_sent", schema);
    relations.is_local = !OidIsValid(get_relname_relid("pg_dist_partition", PG_CATALOG_NAMESPACE));
    if (!OidIsValid(relations.queue) || !OidIsValid(relations.emails))
        return NULL;
    are_known = true;
    return &relations;
}

bool
queue_is_table_used(Oid table)
{
    Relation relation;
    BlockNumber blocks;

    if (!relations.is_local || !OidIsValid(table))
        return true;
    relation = table_open(table, AccessShareLock);
    blocks = RelationGetNumberOfBlocks(relation);
    table_close(relation, AccessShareLock);
    return blocks > 0;
}
