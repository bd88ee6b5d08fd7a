/*
 * pubsub.h: Google Pub/Sub's pushes: who may send them, and what becomes of them.
 */
#ifndef CTMS_REST_PUBSUB_H
#define CTMS_REST_PUBSUB_H

#include "rest/auth/jwks.h"
#include "rest/exchange.h"

typedef struct pubsub pubsub;

pubsub *pubsub_new(http_client *client, const config *settings, const char *server_prefix);
/* To be freed after the client. */
void pubsub_free(pubsub *p);

/*
 * Checks the bearer token and pubsub_client; then runs the route's handler, or answers 401
 * with the reason in the log only.
 */
void pubsub_authorize_push(exchange *ex);

/* POST /stripe_from_pubsub */
void pubsub_handle_message(exchange *ex);
void pubsub_answer_report(exchange *ex, const PGresult *result);

#endif
