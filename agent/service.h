/*
 * service.h: what the agent shows of itself: /metrics, /__heartbeat__ and /__lbheartbeat__ on a
 * port of its own, and the push to a Prometheus gateway. main.c sets it up.
 */
#ifndef AGENT_SERVICE_H
#define AGENT_SERVICE_H

#include <event2/event.h>
#include <stdbool.h>

#include "agent/metrics.h"
#include "agent/settings.h"

typedef struct service service;

/* The content of /__heartbeat__. */
typedef struct service_health {
    bool is_database_up;
    bool is_listening;   /* notifications of work arrive */
    const char *stopped; /* why nothing can be sent; null: sending works */
    int in_flight, in_flight_allowed;
} service_health;

typedef struct service_options {
    const char *host;
    int port;                       /* 0: serves nothing */
    const char *gateway;            /* null: pushes nowhere */
    const agent_settings *settings; /* for the token of the metrics, which may change */
    agent_metrics *metrics;
    service_health (*health)(void *arg);
    void *arg;
} service_options;

/* Null, with a message, when it cannot listen on the port. Strings of the options are copied. */
service *
service_new(struct event_base *base, const service_options *options, char *message, size_t size);
void service_free(service *s);
/* Pushes the metrics to the gateway, unless the last push is still running. */
void service_push(service *s);

#endif
