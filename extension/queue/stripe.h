/*
 * queue/stripe.h: finds the contacts that changes of Stripe's rows concern.
 */
#ifndef CTMS_QUEUE_STRIPE_H
#define CTMS_QUEUE_STRIPE_H

#include "postgres.h"

/*
 * Replaces the Stripe keys of the feed by their contacts. Keys that lead to no contact yet are
 * left for the next claim. Returns whether there were any of these.
 */
extern bool queue_resolve_stripe_keys(void);

/* Enqueues the contacts of keys that were left. A claim calls this before it looks for rows. */
extern void queue_resolve_left_keys(void);

/*
 * Whether any key of Stripe is left for the next claim. Contacts that are left do not count: they
 * may stay locked for long.
 */
extern bool queue_has_left_stripe_keys(void);

#endif
