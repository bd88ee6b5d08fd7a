/*
 * queue/feed.h: what a transaction has changed and still owes to the queue.
 */
#ifndef CTMS_QUEUE_FEED_H
#define CTMS_QUEUE_FEED_H

#include "postgres.h"

#include "utils/array.h"

/* How a changed row leads to its contact. Their names are arguments of triggers, and values of
 * unresolved_stripe.kind. */
typedef enum FeedKind {
    FEED_HELD,         /* by emails.email_id, a uuid: the transaction holds the contact's row */
    FEED_CONTACT,      /* by emails.email_id, a uuid */
    FEED_FXA,          /* by fxa.fxa_id */
    FEED_CUSTOMER,     /* by stripe_customer.stripe_id */
    FEED_SUBSCRIPTION, /* by stripe_subscription.stripe_id */
    FEED_PRICE,        /* by stripe_price.stripe_id: everybody who subscribes to it */
    FEED_INVOICE,      /* by stripe_invoice.stripe_id */
    FEED_KINDS
} FeedKind;

extern const char *feed_kind_name(FeedKind kind);

/* Those that are keys of Stripe's rows, and of FxA, come last. */
#define FEED_FIRST_STRIPE FEED_FXA
#define FEED_STRIPE_KINDS (FEED_KINDS - FEED_FIRST_STRIPE)

/*
 * Keeps a key until the transaction commits or the current subtransaction is rolled back.
 * "key" is a uuid for FEED_HELD and FEED_CONTACT, else a varchar; it is copied.
 */
extern void feed_add(FeedKind kind, Datum key);

/* Notes that the transaction deletes contacts: held ones may be gone when it commits. */
extern void feed_note_deletion(void);
extern bool feed_has_deletions(void);

/* Whether any key waits. */
extern bool feed_is_owed(void);

/* The keys of one kind, taken from the feed: sorted, without repetitions. */
typedef struct FeedKeys {
    FeedKind kind;
    char *keys;
    int64 count;
    int64 taken; /* how many feed_take() has handed out */
} FeedKeys;

/* Sorted copy of a uuid[], which must not contain nulls, in the current memory context. */
extern void feed_keys_from_array(ArrayType *email_ids, FeedKeys *keys);

/* Moves all keys of a kind out of the feed; they live until the transaction ends. */
extern void feed_detach(FeedKind kind, FeedKeys *keys);

/* Adds the contacts of "others" to "keys"; both are sorted, so is the result. */
extern void feed_merge(FeedKeys *keys, const FeedKeys *others);

/* The next "limit" keys, or as many as are left, as an array for SQL: uuid[] or text[]. */
extern ArrayType *feed_take(FeedKeys *keys, int limit);

/* To be called when the transaction, or the current subtransaction, ends. */
extern void feed_forget(void);
extern void feed_end_subtransaction(bool is_commit);

#endif
