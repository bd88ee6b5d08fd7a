/*
 * contact.h: answers about contacts that need more than one value of the result. routes.c names
 * them.
 */
#ifndef CTMS_REST_CONTACT_H
#define CTMS_REST_CONTACT_H

#include "rest/exchange.h"

/* Each of them answers the exchange from the result of a resource's statement. */
void contact_answer_created(exchange *ex, const PGresult *result);
void contact_answer_deleted(exchange *ex, const PGresult *result);

#endif
