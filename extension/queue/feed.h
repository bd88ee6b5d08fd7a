/*
 * queue/feed.h: the keys of what a transaction has changed, for which queue rows are still to be
 * written.
 */
#ifndef CTMS_QUEUE_FEED_H
#define CTMS_QUEUE_FEED_H

#include "postgres.h"

#include "utils/array.h"
#include "utils/uuid.h"

/*
 * How a changed row leads to its contact. The names of the kinds are arguments of triggers, and
 * values of stripe_unresolved.kind.
 */
typedef enum FeedKind {
    FEED_CONTACT,      /* by emails.email_id, a uuid */
    FEED_FXA,          /* by fxa.fxa_id */
    FEED_CUSTOMER,     /* by stripe_customer.stripe_id */
    FEED_SUBSCRIPTION, /* by stripe_subscription.stripe_id */
    FEED_PRICE,        /* by stripe_price.stripe_id: all contacts that subscribe to it */
    FEED_INVOICE,      /* by stripe_invoice.stripe_id */
    FEED_KINDS
} FeedKind;

extern const char *feed_kind_name(FeedKind kind);

/* The kinds that are keys of FxA and of Stripe's rows come last. */
#define FEED_FIRST_STRIPE FEED_FXA
#define FEED_STRIPE_KINDS (FEED_KINDS - FEED_FIRST_STRIPE)

/*
 * Keeps a key until it is taken, or until the current subtransaction is rolled back. "key" is a
 * uuid for FEED_CONTACT, else a varchar; it is copied.
 */
extern void feed_add(FeedKind kind, Datum key);

/* Whether the feed has any key that was not taken. */
extern bool feed_is_owed(void);

/* Keys of one kind: sorted, without repetitions. */
typedef struct FeedKeys {
    FeedKind kind;
    char *keys;
    int64 count;
    int64 capacity; /* of a list to which keys are added */
    int64 taken;    /* how many feed_take() has handed out */
} FeedKeys;

/* Adds a contact at the end. Sort the list, unless the contact is behind all others. */
extern void feed_keys_add(FeedKeys *keys, const pg_uuid_t *email_id);
extern void feed_keys_sort(FeedKeys *keys);

extern bool feed_keys_contain(const FeedKeys *contacts, const pg_uuid_t *email_id);

/* A new sorted list of the contacts of both. */
extern void feed_keys_unite(FeedKeys *all, const FeedKeys *a, const FeedKeys *b);

/*
 * A sorted copy of a uuid[] in the current memory context. Raises an error if the array contains
 * nulls.
 */
extern void feed_keys_from_array(ArrayType *email_ids, FeedKeys *keys);

/*
 * Takes all keys of a kind that were not taken before, into the current memory context. If the
 * current subtransaction is rolled back, they are owed again.
 */
extern void feed_take_all(FeedKind kind, FeedKeys *keys);

/* How many contacts were taken in this transaction; one that was taken twice counts twice. */
extern int64 feed_changed_contacts(void);

/* The next "limit" keys, or as many as are left, as an array for SQL: uuid[] or text[]. */
extern ArrayType *feed_take(FeedKeys *keys, int limit);

/* Must be called when the transaction, or the current subtransaction, ends. */
extern void feed_forget(void);
extern void feed_end_subtransaction(bool is_commit);

#endif
