/*
 * pubsub.h: messages that Google Pub/Sub pushes: checks that they come from our subscription, and
 * answers them. dispatch.c calls pubsub_authorize_push(); routes.c names the handlers.
 */
#ifndef CTMS_REST_PUBSUB_H
#define CTMS_REST_PUBSUB_H

#include "rest/auth/jwks.h"
#include "rest/exchange.h"

typedef struct pubsub pubsub;

pubsub *pubsub_new(http_client *client, const config *settings, const char *server_prefix);
/* Free it after the client. */
void pubsub_free(pubsub *p);

/*
 * Checks the bearer token and pubsub_client. Then it runs the route's handler, or answers 401 and
 * writes the reason to the log only. Without any keys to check the token with it answers 503.
 */
void pubsub_authorize_push(exchange *ex);

/* POST /stripe_from_pubsub */
void pubsub_handle_message(exchange *ex);
void pubsub_answer_report(exchange *ex, const PGresult *result);

#endif
