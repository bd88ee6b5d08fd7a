/*
 * resource.h: resources that are one SQL statement: where its parameters come from, and what its
 * result means. routes.c has the rows; dispatch.c runs them as handlers.
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
    /*
     * The value is checked here, because a failed cast would put it into the server's log. It may
     * be empty, if the statement knows what that means.
     */
    bool is_uuid;
} resource_parameter;

typedef struct resource {
    pg_statement statement;
    resource_parameter parameters[RESOURCE_PARAMETERS_MAX];
    /* Answers after PG_OK. NULL: answers the value of row and column 0 with the status below. */
    void (*answer)(exchange *ex, const PGresult *result);
    int status;
    bool is_streamed;    /* each row is a part of one answer with status 200 */
    const char *missing; /* text of 404, when the value is null or there is no row */
    bool is_stripe;      /* a conflict is answered 409, so that it is sent again */
} resource;

void resource_handle_request(exchange *ex);

/* Logs a conflict in the database that is answered 409. */
void resource_log_conflict(const exchange *ex, const char *kind, const char *sqlstate);

/* Answers the request when the reply is not PG_OK. */
void resource_answer_error(exchange *ex, const pg_reply *reply);

#endif
