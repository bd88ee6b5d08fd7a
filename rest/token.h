/* token.h: POST /token, the OAuth2 client credentials grant. routes.c names the handler. */
#ifndef CTMS_REST_TOKEN_H
#define CTMS_REST_TOKEN_H

#include "rest/exchange.h"

/* POST /token */
void token_handle_grant(exchange *ex);

#endif
