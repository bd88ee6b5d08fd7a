/*
 * service.h: answers operators and load balancers: health, version, metrics. routes.c names the
 * handlers.
 */
#ifndef CTMS_REST_SERVICE_H
#define CTMS_REST_SERVICE_H

#include "rest/exchange.h"

void service_handle_root(exchange *ex);        /* GET / */
void service_handle_version(exchange *ex);     /* GET /__version__ */
void service_handle_heartbeat(exchange *ex);   /* GET /__heartbeat__ */
void service_handle_lbheartbeat(exchange *ex); /* GET /__lbheartbeat__ */
void service_handle_crash(exchange *ex);       /* GET /__crash__ */
void service_handle_metrics(exchange *ex);     /* GET /metrics */

/* Lets a scrape pass that brings CTMS_METRICS_TOKEN, or any if that is not set. */
void service_authorize_scrape(exchange *ex);

#endif
