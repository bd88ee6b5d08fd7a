/*
 * queue/enqueue.h: writes the queue rows of contacts.
 */
#ifndef CTMS_QUEUE_ENQUEUE_H
#define CTMS_QUEUE_ENQUEUE_H

#include "postgres.h"

#include "extension/queue/lane.h"

/*
 * Enqueues contacts at once, in their lanes; the list must be sorted, without repetitions. Rights
 * are not checked. Returns how many contacts were enqueued; unknown ones are skipped. Contacts that
 * another session is deleting, or has locked as strongly, are not waited for, but left for the next
 * claim (queue/left.h). Changes the list.
 */
extern uint64 enqueue_contacts(FeedKeys *contacts, const Lane *lane);

/*
 * The two halves of it. The first locks the contacts FOR KEY SHARE, so that they are not deleted
 * before the transaction ends. It leaves in the list those that it has locked, and moves those that
 * another session has locked to "busy".
 */
extern void enqueue_hold(FeedKeys *contacts, FeedKeys *busy);
extern void enqueue_held(FeedKeys *contacts, const Lane *lane);

#endif
