/*
 * openapi.h: the OpenAPI 3.1 document. It is made from the table of routes and, for contacts, from
 * the descriptions in the database. routes.c names the handler.
 */
#ifndef CTMS_REST_OPENAPI_H
#define CTMS_REST_OPENAPI_H

#include "rest/exchange.h"

/* GET /openapi.json */
void openapi_handle_document(exchange *ex);

#endif
