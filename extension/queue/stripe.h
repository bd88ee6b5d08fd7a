/*
 * queue/stripe.h: finds the contacts that changes of Stripe's rows concern.
 */
#ifndef CTMS_QUEUE_STRIPE_H
#define CTMS_QUEUE_STRIPE_H

#include "postgres.h"

#include "extension/queue/feed.h"
#include "extension/queue/left.h"

/* What Stripe's keys lead to, in addition to the contacts that are in the feed then. */
typedef struct StripeChange {
    FeedKeys priced; /* contacts that wait in the bulk lane, because a price has changed */
    LeftKeys left;   /* keys that must be left for the next claim; those of prices have a lane */
} StripeChange;

/* Replaces the Stripe keys of the feed by their contacts, except those of prices. */
extern void queue_resolve_stripe_keys(StripeChange *change);

/* Enqueues the contacts of keys that were left. A claim calls this before it looks for rows. */
extern void queue_resolve_left_keys(void);

/*
 * Whether any key of Stripe is left for the next claim. Contacts that are left do not count: they
 * may stay locked for long.
 */
extern bool queue_has_left_stripe_keys(void);

#endif
