/*
 * queue/enqueue.h: writes the queue rows of contacts.
 */
#ifndef CTMS_QUEUE_ENQUEUE_H
#define CTMS_QUEUE_ENQUEUE_H

#include "postgres.h"

#include "extension/queue/feed.h"

/*
 * Enqueues contacts at once. Both lists are sorted and have no repetitions. "held" has the
 * contacts whose rows the transaction has locked already; those in "loose" are locked first.
 * Rights are not checked. Returns how many contacts were enqueued; unknown ones are skipped.
 * Changes both lists.
 */
extern uint64 enqueue_contacts(FeedKeys *held, FeedKeys *loose);

#endif
