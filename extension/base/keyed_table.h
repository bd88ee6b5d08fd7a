/*
 * base/keyed_table.h: a table and one of its indexes, opened below the executor, for the queue;
 * base/gate.h takes its place.
 */
#ifndef CTMS_BASE_KEYED_TABLE_H
#define CTMS_BASE_KEYED_TABLE_H

#include "extension/base/compat.h"

#include "extension/base/gate.h"

#include "access/relscan.h"
#include "utils/uuid.h"

#define keyed_table_is_allowed gate_is_open()

/* All zero when it is not open. */
typedef struct KeyedTable {
    Relation relation;
    Relation index;
    IndexScanDesc scan; /* NULL until the first search */
    TupleTableSlot *found;
} KeyedTable;

/* "relation" must be open; from now on it belongs to the table. */
extern void keyed_table_open(KeyedTable *table, Relation relation, Oid index, LOCKMODE index_lock);
/*
 * Does nothing when the table is not open. Locks are kept until the transaction ends, like those
 * of a statement.
 */
extern void keyed_table_close(KeyedTable *table);

/* Searches for the rows whose first key column matches; the caller owns "snapshot". */
extern void keyed_table_search(KeyedTable *table, Snapshot snapshot, ScanKey key);
/* The next row of the search into table->found; false when there is none. */
extern bool keyed_table_next(KeyedTable *table);

/*
 * Searches for a key of type uuid and fills table->found with the first row; false when there is
 * none.
 */
extern bool keyed_table_find_uuid(KeyedTable *table, Snapshot snapshot, const pg_uuid_t *key);

#endif
