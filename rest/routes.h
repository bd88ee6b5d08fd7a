/*
 * routes.h: the table of everything that the server answers, and the search for the row of a
 * request. For dispatch.c, worker.c and main.c.
 */
#ifndef CTMS_REST_ROUTES_H
#define CTMS_REST_ROUTES_H

#include "common/buf.h"
#include "rest/route.h"

extern const route routes_table[];
extern const size_t routes_count;

typedef enum routes_match {
    ROUTES_FOUND,
    ROUTES_NOT_FOUND,
    ROUTES_WRONG_METHOD, /* the path is known, the method is not */
    ROUTES_REDIRECT,     /* the path is known without the slash at its end */
} routes_match;

/*
 * Finds the route of a path, which is still encoded. HEAD finds the route of GET. value becomes the
 * text of the path's parameter inside path, or NULL. For ROUTES_WRONG_METHOD *found is some route
 * of the path.
 */
routes_match routes_find(http_method method, const char *path, size_t path_length,
                         const route **found, const char **value, size_t *value_length);

/* Appends the methods of the route's path, in the form of the header Allow. */
void routes_append_methods(const route *found, buf *out);

#endif
