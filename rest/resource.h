/*
 * resource.h: resources that are one statement of SQL: where its parameters come from, and
 * what its result means.
 */
#ifndef CTMS_REST_RESOURCE_H
#define CTMS_REST_RESOURCE_H

#include "rest/exchange.h"

#define RESOURCE_PARAMETERS_MAX 9

typedef enum resource_source {
    FROM_NOWHERE, /* ends the list */
    FROM_PATH,
    FROM_QUERY,
    FROM_BODY,
    FROM_SERVER, /* CTMS_SERVER_PREFIX */
} resource_source;

typedef struct resource_parameter {
    resource_source source;
    const char *name;
    bool is_uuid; /* checked here: an error of the cast would put the value into the server's log */
} resource_parameter;

typedef struct resource {
    pg_statement statement;
    resource_parameter parameters[RESOURCE_PARAMETERS_MAX];
    /* Answers after PG_OK; NULL: the value of row and column 0 with the status below. */
    void (*answer)(exchange *ex, const PGresult *result);
    int status;
    bool is_streamed;    /* rows are parts of one answer of 200 */
    const char *missing; /* detail of 404 when the value is null or there is no row */
    bool is_stripe;      /* conflicts are to be delivered again: 409 */
} resource;

void resource_handle_request(exchange *ex);

/*
 * Reads the body as text into *body. Answers, and returns false, when it is too large, has
 * a NUL or is not UTF-8.
 */
bool resource_read_body(exchange *ex, const char **body);

/* The log tells of every conflict of the database that is answered 409. */
void resource_log_conflict(const exchange *ex, const char *kind, const char *sqlstate);

/* Answers a reply that is not PG_OK. */
void resource_answer_error(exchange *ex, const pg_reply *reply);

#endif
