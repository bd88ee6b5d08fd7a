/*
 * queue/enqueue.h: writes the queue rows of contacts.
 */
#ifndef CTMS_QUEUE_ENQUEUE_H
#define CTMS_QUEUE_ENQUEUE_H

#include "postgres.h"

#include "extension/queue/feed.h"

/*
 * Enqueues contacts at once; the list must be sorted, without repetitions. Each contact is locked
 * until the transaction ends, so that it is not deleted. Rights are not checked. Returns how many
 * contacts were enqueued; unknown ones are skipped. Changes the list.
 */
extern uint64 enqueue_contacts(FeedKeys *contacts);

#endif
