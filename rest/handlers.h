/* handlers.h: what the routes call. Each answers the exchange, now or later. */
#ifndef CTMS_REST_HANDLERS_H
#define CTMS_REST_HANDLERS_H

#include "rest/exchange.h"

/* handler_contact.c: answers of resources that are more than a value. */
void contact_answer_created(exchange *ex, const PGresult *result);
void contact_answer_deleted(exchange *ex, const PGresult *result);

/* handler_token.c */
void token_handle(exchange *ex);

/* handler_stripe.c */
void stripe_answer(exchange *ex, const PGresult *result);

/* handler_service.c */
void service_handle_root(exchange *ex);
void service_handle_version(exchange *ex);
void service_handle_heartbeat(exchange *ex);
void service_handle_lbheartbeat(exchange *ex);
void service_handle_crash(exchange *ex);
void service_handle_metrics(exchange *ex);

#endif
