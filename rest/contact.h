/* contact.h: answers about contacts that are more than a value. */
#ifndef CTMS_REST_CONTACT_H
#define CTMS_REST_CONTACT_H

#include "rest/exchange.h"

/* Each answers the exchange with the result of a resource. */
void contact_answer_created(exchange *ex, const PGresult *result);
void contact_answer_deleted(exchange *ex, const PGresult *result);

#endif
