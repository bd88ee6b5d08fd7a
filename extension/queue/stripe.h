/*
 * queue/stripe.h: which contacts do changes of Stripe's rows concern?
 */
#ifndef CTMS_QUEUE_STRIPE_H
#define CTMS_QUEUE_STRIPE_H

#include "postgres.h"

/*
 * Turns the Stripe keys of the feed into contacts of the feed. Keys that lead to nobody yet
 * are left for the next claim; returns whether there were any.
 */
extern bool queue_resolve_stripe_keys(void);

/* Enqueues the contacts of keys that were left; for a claim, before it looks. */
extern void queue_resolve_left_keys(void);

/* Whether keys wait for the next claim. */
extern bool queue_has_left_keys(void);

#endif
