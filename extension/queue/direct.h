/*
 * queue/direct.h: writes queue rows below the executor.
 */
#ifndef CTMS_QUEUE_DIRECT_H
#define CTMS_QUEUE_DIRECT_H

#include "postgres.h"

#include "utils/uuid.h"

typedef struct DirectQueue DirectQueue;

/*
 * Opens the queue for writing. Returns NULL when it is not the plain local table that this code
 * knows (when it is distributed, or has triggers or columns added by others); the caller must
 * then use SQL. Rights are not checked. After an error the caller has nothing to clean up.
 */
extern DirectQueue *direct_open(void);

/*
 * Keeps the contact from being deleted until the transaction ends, like a foreign key check does.
 * False when the contact does not exist, or no longer does.
 */
extern bool direct_hold(DirectQueue *queue, const pg_uuid_t *email_id);

/*
 * Enqueues a contact that is held. Waits for other transactions that write the same row, so calls
 * must be in order of email_id.
 */
extern void direct_enqueue(DirectQueue *queue, const pg_uuid_t *email_id, int64 generation);

extern void direct_close(DirectQueue *queue);

#endif
