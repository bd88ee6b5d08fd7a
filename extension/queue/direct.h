/*
 * queue/direct.h: writes queue rows below the executor.
 */
#ifndef CTMS_QUEUE_DIRECT_H
#define CTMS_QUEUE_DIRECT_H

#include "postgres.h"

#include "extension/queue/feed.h"

/*
 * Enqueues the contacts, which must be sorted, and leaves in the list those that exist. Waits for
 * other transactions that write the same rows. False, and nothing is done, when the tables are not
 * the plain local ones that this code knows; the caller must then use SQL. Rights are not checked.
 */
extern bool direct_enqueue(FeedKeys *contacts);

#endif
