/*
 * queue/flush.h: writing the queue.
 */
#ifndef CTMS_QUEUE_FLUSH_H
#define CTMS_QUEUE_FLUSH_H

#include "postgres.h"

#include "extension/queue/feed.h"

/* The setting ctms.enqueue. */
extern bool ctms_is_feed_enabled;

/*
 * Enqueues contacts, sorted and without repetitions, now: those whose rows the transaction
 * holds, and others, which are held first. Rights are not checked. Returns how many there were;
 * unknown ones are passed over. Changes both lists.
 */
extern uint64 ctms_enqueue_contacts(FeedKeys *held, FeedKeys *loose);

/* Settings and transaction callbacks; called once, by _PG_init. */
extern void ctms_queue_init(void);

#endif
