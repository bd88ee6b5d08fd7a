/*
 * queue/flush.h: writes the queue at commit.
 */
#ifndef CTMS_QUEUE_FLUSH_H
#define CTMS_QUEUE_FLUSH_H

#include "postgres.h"

/* The setting ctms.enqueue. */
extern bool feed_is_enabled;

/* Settings and transaction callbacks; called once, by _PG_init. */
extern void queue_flush_init(void);

#endif
