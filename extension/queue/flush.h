/*
 * queue/flush.h: writes the queue when a transaction commits.
 */
#ifndef CTMS_QUEUE_FLUSH_H
#define CTMS_QUEUE_FLUSH_H

#include "postgres.h"

/* The setting ctms.enqueue. */
extern bool feed_is_enabled;

/*
 * Makes sure that the queue is written for the keys of the feed when the transaction commits.
 * Must be called by a trigger that a statement fires.
 */
extern void queue_flush_schedule(void);

/* Settings and transaction callbacks; called once, by _PG_init. */
extern void queue_flush_init(void);

#endif
