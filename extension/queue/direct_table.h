/*
 * queue/direct_table.h: the queue's table below the executor; shared by what enqueues contacts
 * (queue/direct.c) and what claims them (queue/direct_claim.c).
 */
#ifndef CTMS_QUEUE_DIRECT_TABLE_H
#define CTMS_QUEUE_DIRECT_TABLE_H

#include "extension/base/compat.h"

#include "utils/snapmgr.h"
#include "utils/uuid.h"

#include "extension/base/gate.h"
#include "extension/base/gate_write.h"

/* The columns of ctms.pending_acoustic, in their order. */
typedef enum QueueColumn {
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
    COLUMN_IS_BULK,
    COLUMN_COUNT
} QueueColumn;

/* The queue, open for writing. The active snapshot is the latest: long values are read with it. */
typedef struct DirectQueue {
    GateScan rows; /* by email_id */
    GateWriter writer;
    MemoryContext context;
    TupleTableSlot *slot; /* the row to be written */
    TimestampTz now;
} DirectQueue;

/*
 * False when the queue is not the plain local table that this code knows (when it is distributed,
 * or has triggers or columns added by others); the caller must then use SQL. Rights are not
 * checked. After an error the caller has nothing to clean up.
 */
extern bool direct_table_open(DirectQueue *queue);
extern void direct_table_close(DirectQueue *queue);

/* The queue with all its indexes, open as long as the queue is. */
extern const ResultRelInfo *direct_table_indexes(DirectQueue *queue);

/* Makes a snapshot of everything that is committed by now the active one. */
extern void direct_table_look_anew(void);

/* Columns of the row to be written. */
extern void direct_table_set(DirectQueue *queue, QueueColumn column, Datum value);
extern void direct_table_set_null(DirectQueue *queue, QueueColumn column);
extern Datum direct_table_get(DirectQueue *queue, QueueColumn column);
extern bool direct_table_is_null(DirectQueue *queue, QueueColumn column);

/* Starts a row in which every column is null. */
extern void direct_table_blank(DirectQueue *queue);
/* Starts the next version of the row that is locked. */
extern void direct_table_copy(DirectQueue *queue);

/*
 * Inserts the row. False when another session has inserted a row for the same contact, or was
 * doing so, which is waited for: look for that row.
 */
extern bool direct_table_insert(DirectQueue *queue);

/*
 * Locks the row at "tid" so that only this transaction can write it, and returns TM_Ok, TM_Updated
 * or TM_Deleted, or TM_WouldBlock where it may not wait. With TM_Ok, queue->rows.found is the
 * version that is locked: with TUPLE_LOCK_FLAG_FIND_LAST_VERSION in "flags" the last one, without
 * it the one at "tid".
 */
extern TM_Result
direct_table_lock(DirectQueue *queue, ItemPointer tid, LockWaitPolicy policy, uint8 flags);

/* Writes the row as the next version of the one that is locked. */
extern void direct_table_update(DirectQueue *queue);

#endif
