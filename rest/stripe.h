/* stripe.h: answers about Stripe objects. routes.c names them. */
#ifndef CTMS_REST_STRIPE_H
#define CTMS_REST_STRIPE_H

#include "rest/exchange.h"

/* The answer of POST /stripe: what was skipped, and why, and how much was not. */
void stripe_answer_stored(exchange *ex, const PGresult *result);

#endif
