/*
 * route.h: a row of the table of everything that the server answers (routes.c).
 *
 * A row also lists the statuses that the resource is known to answer, and the SQL statement behind
 * it. Every file in rest/ may read it.
 */
#ifndef CTMS_REST_ROUTE_H
#define CTMS_REST_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/scope.h"
#include "rest/http/http.h"

struct exchange;
struct resource;

typedef enum route_access {
    ACCESS_PUBLIC,
    ACCESS_BEARER,  /* one of our own tokens, of an enabled client */
    ACCESS_METRICS, /* the token of CTMS_METRICS_TOKEN; public if that is not set */
    ACCESS_PUBSUB,  /* one of Google's tokens, for our subscription */
} route_access;

#define ROUTE_STATUSES_MAX 12

typedef struct route {
    http_method method;
    const char *path; /* "/ctms/{email_id}": at most one parameter, the last segment */
    route_access access;
    scope_set scope;                      /* that the token must have; of ACCESS_BEARER */
    void (*handler)(struct exchange *ex); /* answers the exchange, at once or later */
    const struct resource *resource; /* for resource_handle_request(); NULL for other handlers */
    const char *id;                  /* for the OpenAPI document, like the next three: its name */
    const char *summary;
    const char *body;          /* schema of the body; NULL: it has none */
    const char *answer;        /* schema of the answer of 200 and 201; "[x]" is a list of x */
    const char *text_types[2]; /* content types of an answer of 200 that is not JSON */
    bool is_monitoring;        /* requested all the time: the log says "trivial" */
    bool has_large_body;
    bool is_secret;                   /* no answer may be cached, although everybody may ask */
    int statuses[ROUTE_STATUSES_MAX]; /* statuses that it is known to answer; ends with 0 */
} route;

/* Name of the parameter of a route's path, without braces; "" when there is none. */
void route_name_parameter(const route *found, char *name, size_t size);

/* Two paths are the same if they differ only in the name of their parameter. */
bool route_is_same_path(const char *a, const char *b);

#endif
