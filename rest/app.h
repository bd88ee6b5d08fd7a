/*
 * app.h: what all parts of one server process share. worker.c makes it, and every request has it in
 * its exchange.
 */
#ifndef CTMS_REST_APP_H
#define CTMS_REST_APP_H

#include <event2/event.h>

#include "common/config.h"
#include "common/http_client.h"
#include "common/metrics.h"
#include "common/pg_listen.h"
#include "common/pg_pool.h"
#include "rest/auth/auth.h"
#include "rest/auth/secret_check.h"
#include "rest/auth/secret_cost.h"
#include "rest/http/server.h"
#include "rest/position.h"
#include "rest/replicas.h"

struct pubsub;
struct route;

typedef struct app {
    struct event_base *base;
    const config *settings;
    const struct route *routes; /* what the server answers, in the order of the documentation */
    size_t route_count;
    metrics *metrics;          /* shared by the processes */
    const char *metrics_token; /* NULL: /metrics is public, and names no client */
    pg_pool *pool;
    replicas *replicas;        /* NULL: all reads go to the primary */
    position_source *position; /* NULL without replicas */
    double database_timeout_s;
    pg_listener *listener;
    bool is_deaf; /* changes of clients are not announced; logged already */
    auth *auth;
    secret_checker *secrets;
    secret_costs *secret_costs;
    http_client *http;
    struct pubsub *pubsub;
    server *server;
    char *server_prefix;   /* without a slash at its end */
    char *version;         /* JSON text of /__version__ */
    char *openapi;         /* the last /openapi.json; NULL before the first */
    char *contact_schemas; /* what that was made of: the answer of the database */
    size_t body_max;
    long long token_lifetime_s;
    int ready_fd; /* closed when the process can serve; -1 afterwards */
    double age_s; /* age of the process, approximately */
} app;

#endif
