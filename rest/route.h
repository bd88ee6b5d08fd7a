/*
 * route.h: the table of everything that the server answers.
 *
 * The table is also what says which methods a path allows, which statuses a resource is
 * known to answer with, and which statement of SQL stands behind it.
 */
#ifndef CTMS_REST_ROUTE_H
#define CTMS_REST_ROUTE_H

#include "rest/exchange.h"
#include "rest/resource.h"

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
    void (*handler)(exchange *ex);
    const resource *resource;  /* of handler resource_handle(), else NULL */
    const char *summary;       /* for the OpenAPI document, as the next two */
    const char *body;          /* schema of the body; NULL: it has none */
    const char *answer;        /* schema of what 200 and 201 answer; "[x]" is a list of x */
    const char *text_types[2]; /* of a 200 that is not JSON but one of these */
    bool is_monitoring;        /* asked all the time: the log says "trivial" */
    bool has_large_body;
    int statuses[ROUTE_STATUSES_MAX]; /* known answers, ended by 0 */
} route;

extern const route route_table[];
extern const size_t route_count;

typedef enum route_match {
    ROUTE_FOUND,
    ROUTE_NOT_FOUND,
    ROUTE_WRONG_METHOD, /* the path is known */
    ROUTE_REDIRECT,     /* it is, without the slash at its end */
} route_match;

/*
 * Finds the route of a path that is not decoded. HEAD finds what GET does. value becomes
 * the text of the path's parameter inside path, or NULL. Sets *found also for
 * ROUTE_WRONG_METHOD, to some route of the path.
 */
route_match route_find(http_method method, const char *path, size_t path_length,
                       const route **found, const char **value, size_t *value_length);

/* Name of the parameter of a route's path, without braces; "" when there is none. */
void route_parameter(const route *found, char *name, size_t size);

/* Paths that differ only in the name of their parameter are one path. */
bool route_is_same_path(const char *a, const char *b);

/* Appends the methods of the path of a route, as for Allow. */
void route_append_methods(const route *found, buf *out);

#endif
