/*
 * queue/direct_table.h: the queue's tables, opened below the executor; shared by what writes
 * rows (queue/direct.c) and what claims them (queue/direct_claim.c).
 */
#ifndef CTMS_QUEUE_DIRECT_TABLE_H
#define CTMS_QUEUE_DIRECT_TABLE_H

#include "extension/base/compat.h"

#include "utils/snapmgr.h"
#include "utils/uuid.h"

#include "extension/base/keyed_table.h"
#include "extension/queue/direct.h"
#include "extension/queue/relations.h"

/* The columns of ctms.pending_acoustic, in their order. */
typedef enum QueueColumn {
    COLUMN_ID,
    COLUMN_EMAIL_ID,
    COLUMN_RETRY,
    COLUMN_LAST_ERROR,
    COLUMN_GENERATION,
    COLUMN_RETRY_AFTER,
    COLUMN_LEASE_UNTIL,
    COLUMN_LEASE_OWNER,
    COLUMN_CREATE_TIMESTAMP,
    COLUMN_UPDATE_TIMESTAMP,
    COLUMN_IS_TRIED,
    COLUMN_COUNT
} QueueColumn;

struct DirectQueue {
    KeyedTable queue;
    SnapshotData dirty; /* also sees rows that others are writing, so that we can wait for them */
    KeyedTable emails;  /* opened when first needed */
    Snapshot latest;
    MemoryContext context;
    TupleTableSlot *slot;      /* the row to be written, once writing has started */
    MemoryContext row_context; /* memory for writing one row */
    Relation *other_indexes;   /* all but queue.index; opened when first needed */
    int other_index_count;
    QueueRelations relations;
    TimestampTz now;
};

/*
 * queue->slot, with no column null, for the caller to fill in. The caller ends with
 * ExecStoreVirtualTuple().
 */
extern TupleTableSlot *direct_blank(DirectQueue *queue);

/*
 * Inserts queue->slot. When another session inserts or has inserted a row for the same contact,
 * it inserts nothing and returns false: look for that row.
 */
extern bool direct_insert(DirectQueue *queue);

/*
 * A copy of the row in queue->slot, to be changed and written as its next version. Valid as long
 * as "found" is.
 */
extern TupleTableSlot *direct_copy(DirectQueue *queue, TupleTableSlot *found);

/*
 * Writes queue->slot as the next version of the row. Returns TM_Updated or TM_Deleted when
 * another session was faster. When it may not wait, it returns TM_BeingModified for a row that
 * another session is writing or has locked.
 */
extern TM_Result direct_rewrite(DirectQueue *queue, TupleTableSlot *found, bool may_wait);

#endif
