/*
 * base/keyed_table.h: a table and one of its indexes, opened below the executor.
 *
 * Whether the table may be read or written like this is the caller's question.
 */
#ifndef CTMS_BASE_KEYED_TABLE_H
#define CTMS_BASE_KEYED_TABLE_H

#include "extension/base/compat.h"

#include "access/relscan.h"
#include "utils/uuid.h"

/* Zeroed when it is not open. */
typedef struct KeyedTable {
    Relation relation;
    Relation index;
    IndexScanDesc scan; /* NULL until the first search */
    TupleTableSlot *found;
} KeyedTable;

/* "relation" is open, and belongs to the table from here on. */
extern void keyed_table_open(KeyedTable *table, Relation relation, Oid index, LOCKMODE index_lock);
/* Does nothing when it is not open. Locks stay until the transaction ends, as a statement's do. */
extern void keyed_table_close(KeyedTable *table);

/* Searches for the rows whose first key column fits; "snapshot" is the caller's. */
extern void keyed_table_search(KeyedTable *table, Snapshot snapshot, ScanKey key);
/* The next row of the search into table->found; false when there is none. */
extern bool keyed_table_next(KeyedTable *table);

/* Searches for a key of type uuid, and fills table->found with the first row; false for none. */
extern bool keyed_table_find_uuid(KeyedTable *table, Snapshot snapshot, const pg_uuid_t *key);

#endif
