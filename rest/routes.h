/* routes.h: the table of everything that the server answers, and how a request finds its row. */
#ifndef CTMS_REST_ROUTES_H
#define CTMS_REST_ROUTES_H

#include "common/buf.h"
#include "rest/route.h"

extern const route routes_table[];
extern const size_t routes_count;

typedef enum routes_match {
    ROUTES_FOUND,
    ROUTES_NOT_FOUND,
    ROUTES_WRONG_METHOD, /* the path is known */
    ROUTES_REDIRECT,     /* it is, without the slash at its end */
} routes_match;

/*
 * Finds the route of a path that is not decoded. HEAD finds what GET does. value becomes
 * the text of the path's parameter inside path, or NULL. Sets *found also for
 * ROUTES_WRONG_METHOD, to some route of the path.
 */
routes_match routes_find(http_method method, const char *path, size_t path_length,
                         const route **found, const char **value, size_t *value_length);

/* Appends the methods of the path of a route, as for Allow. */
void routes_append_methods(const route *found, buf *out);

#endif
