/* dispatch.h: a request's way from its arrival to its handler. */
#ifndef CTMS_REST_DISPATCH_H
#define CTMS_REST_DISPATCH_H

#include "rest/http/server.h"

/* For server_events; arg is the app. The request becomes an exchange, and is answered by it. */
void dispatch_request(void *arg, server_call *call, const http_request *request);

#endif
