/*
 * queue/direct.h: writes queue rows below the executor.
 */
#ifndef CTMS_QUEUE_DIRECT_H
#define CTMS_QUEUE_DIRECT_H

#include "postgres.h"

#include "extension/queue/lane.h"

/*
 * Locks the contacts like a foreign key check does, in their order and without waiting, and leaves
 * in the list those that it has locked. Those that another session has locked go to "busy"; the
 * others do not exist. False, and nothing is done, when the table is not the plain local one that
 * this code knows; the caller must then use SQL.
 */
extern bool direct_hold(FeedKeys *contacts, FeedKeys *busy);

/*
 * Enqueues contacts that are held, in their order; waits for other transactions that write the
 * same rows. The same when it returns false.
 */
extern bool direct_enqueue(const FeedKeys *contacts, const Lane *lane);

#endif
