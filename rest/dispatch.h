/* dispatch.h: takes a request from its arrival to its handler. */
#ifndef CTMS_REST_DISPATCH_H
#define CTMS_REST_DISPATCH_H

#include "rest/http/server.h"

/* For server_events; arg is the app. Makes an exchange of the request, which will be answered. */
void dispatch_request(void *arg, server_call *call, const http_request *request);

#endif
