/*
 * openapi.h: the OpenAPI 3.1 document, made from the table of routes and, for contacts,
 * from what the database says of them.
 */
#ifndef CTMS_REST_OPENAPI_H
#define CTMS_REST_OPENAPI_H

#include "rest/exchange.h"

/* GET /openapi.json */
void openapi_handle_document(exchange *ex);

#endif
