/*
 * queue/enqueue.h: writes queue rows of contacts.
 */
#ifndef CTMS_QUEUE_ENQUEUE_H
#define CTMS_QUEUE_ENQUEUE_H

#include "postgres.h"

#include "extension/queue/feed.h"

/*
 * Enqueues contacts, sorted and without repetitions, now: those whose rows the transaction
 * holds, and others, which are held first. Rights are not checked. Returns how many there were;
 * unknown ones are passed over. Changes both lists.
 */
extern uint64 enqueue_contacts(FeedKeys *held, FeedKeys *loose);

#endif
