/*
 * queue/direct.h: writes queue rows below the executor.
 */
#ifndef CTMS_QUEUE_DIRECT_H
#define CTMS_QUEUE_DIRECT_H

#include "postgres.h"

#include "utils/uuid.h"

typedef struct DirectQueue DirectQueue;

/*
 * Opens the queue for writing. NULL when it is not the plain local table that this code
 * knows (distributed, with triggers or columns of others): then go by SQL. Rights are
 * not checked. An error needs no clean-up by the caller.
 */
extern DirectQueue *direct_open(void);

/*
 * Keeps the contact from being deleted until the transaction ends, as a foreign key
 * would. False when there is no such contact (any more).
 */
extern bool direct_hold(DirectQueue *queue, const pg_uuid_t *email_id);

/*
 * Enqueues a contact that is held. Waits for others who write the same row; to be called in
 * order of email_id.
 */
extern void direct_enqueue(DirectQueue *queue, const pg_uuid_t *email_id, int64 generation);

extern void direct_close(DirectQueue *queue);

#endif
