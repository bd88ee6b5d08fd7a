/*
 * pg_connector.h: opens one connection to PostgreSQL from the event loop. It tries again until it
 * succeeds, and waits longer after each failure.
 *
 * Used by pg_pool and pg_listen. The open connection belongs to the caller, who calls
 * pg_connector_start() again when it is lost.
 */
#ifndef CTMS_COMMON_PG_CONNECTOR_H
#define CTMS_COMMON_PG_CONNECTOR_H

#include <event2/event.h>
#include <libpq-fe.h>
#include <stdbool.h>

/* What a pooler must be like that keeps prepared statements. */
#define PG_CONNECTOR_POOLER_ADVICE                                                                 \
    "pool_mode = session, or version 1.21 with max_prepared_statements > 0"
/* What PgBouncer says of options in the URL, and what to do. */
#define PG_CONNECTOR_REFUSED_PARAMETER "unsupported startup parameter"
#define PG_CONNECTOR_PARAMETER_ADVICE                                                              \
    "the URL has options that the pooler does not know; PgBouncer: ignore_startup_parameters"

typedef struct pg_connector pg_connector;

typedef struct pg_connector_events {
    /* The connection is open and non-blocking. The receiver owns it and calls PQfinish(). */
    void (*opened)(void *arg, PGconn *conn);
    /* An attempt failed; another one follows automatically. The message is one line. */
    void (*failed)(void *arg, const char *message);
} pg_connector_events;

/*
 * url as CTMS_DB_URL. Keepalives, encoding and application name are set unless the URL says
 * otherwise. Nothing is opened until pg_connector_start(). Returns NULL, with a message, when the
 * URL cannot be parsed.
 */
pg_connector *
pg_connector_new(struct event_base *base, const char *url, const char *application,
                 const pg_connector_events *events, void *arg, char *message, size_t message_size);
void pg_connector_free(pg_connector *connector);
/* Tries to connect, beginning with the next turn of the event loop; later if the last connection
 * was lost as soon as it was open. */
void pg_connector_start(pg_connector *connector);
/* Stops trying. May be called from failed(). */
void pg_connector_stop(pg_connector *connector);

/* Sends what libpq has buffered. When the socket does not take all of it, the event writable is
 * added. Returns false on failure. */
bool pg_connector_flush(PGconn *conn, struct event *writable);

/* The last error of a connection as one line without a full stop. */
void pg_connector_error_line(const PGconn *conn, char *line, size_t size);

#endif
