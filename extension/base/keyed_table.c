/*
 * base/keyed_table.c: see keyed_table.h. The queue (queue/direct_table.c) is read through it.
 */
#include "extension/base/keyed_table.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

void
keyed_table_open(KeyedTable *table, Relation relation, Oid index, LOCKMODE index_lock)
{
    table->relation = relation;
    table->index = index_open(index, index_lock);
    table->scan = NULL;
    table->found = table_slot_create(relation, NULL);
}

void
keyed_table_close(KeyedTable *table)
{
    if (!table->relation)
        return;
    if (table->scan)
        index_endscan(table->scan);
    ExecDropSingleTupleTableSlot(table->found);
    index_close(table->index, NoLock);
    table_close(table->relation, NoLock);
    memset(table, 0, sizeof(*table));
}

void
keyed_table_search(KeyedTable *table, Snapshot snapshot, ScanKey key)
{
    if (!table->scan)
        table->scan = compat_index_beginscan(table->relation, table->index, snapshot, 1);
    table->scan->xs_snapshot = snapshot;
    index_rescan(table->scan, key, 1, NULL, 0);
}

bool
keyed_table_next(KeyedTable *table)
{
    return index_getnext_slot(table->scan, ForwardScanDirection, table->found);
}

bool
keyed_table_find_uuid(KeyedTable *table, Snapshot snapshot, const pg_uuid_t *key)
{
    ScanKeyData equal;

    ScanKeyInit(&equal, 1, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(key));
    keyed_table_search(table, snapshot, &equal);
    return keyed_table_next(table);
}
