/*
 * route.h: a row of the table of what the server answers (routes.c).
 *
 * The row is also what says which statuses a resource is known to answer with, and which
 * statement of SQL stands behind it. Everything in rest/ may read it.
 */
#ifndef CTMS_REST_ROUTE_H
#define CTMS_REST_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

#include "rest/http/http.h"

struct exchange;
struct resource;

typedef enum route_access {
    ACCESS_PUBLIC,
    ACCESS_BEARER, /* a token of ours, of an enabled client */
    ACCESS_PUBSUB, /* a token of Google's, of our subscription */
} route_access;

#define ROUTE_STATUSES_MAX 12

typedef struct route {
    http_method method;
    const char *path; /* "/ctms/{email_id}": at most one parameter, the last segment */
    route_access access;
    void (*handler)(struct exchange *ex); /* answers the exchange, now or later */
    const struct resource *resource;      /* of handler resource_handle_request(), else NULL */
    const char *summary;                  /* for the OpenAPI document, as the next two */
    const char *body;                     /* schema of the body; NULL: it has none */
    const char *answer;        /* schema of what 200 and 201 answer; "[x]" is a list of x */
    const char *text_types[2]; /* of a 200 that is not JSON but one of these */
    bool is_monitoring;        /* asked all the time: the log says "trivial" */
    bool has_large_body;
    int statuses[ROUTE_STATUSES_MAX]; /* known answers, ended by 0 */
} route;

/* Name of the parameter of a route's path, without braces; "" when there is none. */
void route_name_parameter(const route *found, char *name, size_t size);

/* Paths that differ only in the name of their parameter are one path. */
bool route_is_same_path(const char *a, const char *b);

#endif
