/*
 * base/watched_table.c: see watched_table.h.
 */
#include "extension/base/compat.h"

#include "catalog/namespace.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"

#include "extension/base/watched_table.h"

static WatchedTable *tables = NULL;

static void
relation_changed(Datum arg, Oid relation)
{
    for (WatchedTable *table = tables; table != NULL; table = table->next)
        if (!OidIsValid(relation) || relation == table->oid || !OidIsValid(table->oid))
            table->generation++;
}

void
watched_table_add(WatchedTable *table)
{
    if (tables == NULL)
        CacheRegisterRelcacheCallback(relation_changed, (Datum)0);
    table->generation = 1;
    table->next = tables;
    tables = table;
}

Oid
watched_table_find(WatchedTable *table)
{
    Oid schema = get_namespace_oid("ctms", true);

    table->oid = OidIsValid(schema) ? get_relname_relid(table->name, schema) : InvalidOid;
    return table->oid;
}
