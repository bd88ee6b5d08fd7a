/*
 * queue/left.h: keys that a transaction leaves for the next claim, because it cannot enqueue their
 * contacts itself.
 */
#ifndef CTMS_QUEUE_LEFT_H
#define CTMS_QUEUE_LEFT_H

#include "extension/queue/feed.h"

/* Keys, as columns for SQL. All zero when there are none. */
typedef struct LeftKeys {
    Datum *kinds;    /* text */
    Datum *keys;     /* text */
    Datum *are_bulk; /* boolean: whether their contacts will wait in the bulk lane */
    int count;
    int capacity;
} LeftKeys;

/* "key" is a text; it is not copied. What was left in both lanes before is live. */
extern void left_add(LeftKeys *left, FeedKind kind, Datum key, bool is_bulk);

extern void left_make_bulk(LeftKeys *left);

/*
 * Leaves the keys. Waits for other transactions that leave or take the same ones, so a transaction
 * must leave those of Stripe first, then contacts, then lock queue rows.
 */
extern void left_write(const LeftKeys *left);

#endif
