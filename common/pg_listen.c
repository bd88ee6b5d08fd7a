/* pg_listen.c: LISTEN on a connection of its own; see pg_listen.h. */
#include "common/pg_listen.h"

#include <stdbool.h>
#include <stdlib.h>

#include "common/buf.h"
#include "common/pg_connector.h"

/* A dead connection looks like a quiet one. So we send a statement from time to time, and give the
 * connection up when there is no answer. */
#define PROBE_INTERVAL_S 20

struct pg_listener {
    struct event_base *base;
    pg_listener_events events;
    void *arg;
    pg_connector *connector;
    char *listen_sql;
    PGconn *conn; /* NULL while it is away */
    struct event *readable;
    struct event *writable;
    struct event *probe;
    bool is_listening; /* LISTEN has been answered */
    bool is_asking;    /* a statement is in flight */
};

static void
close_connection(pg_listener *listener)
{
    if (listener->readable != NULL)
        event_free(listener->readable);
    if (listener->writable != NULL)
        event_free(listener->writable);
    listener->readable = listener->writable = NULL;
    evtimer_del(listener->probe);
    if (listener->conn != NULL)
        PQfinish(listener->conn);
    listener->conn = NULL;
    listener->is_listening = listener->is_asking = false;
}

static void
lose_connection(pg_listener *listener, const char *message)
{
    close_connection(listener);
    pg_connector_start(listener->connector);
    if (listener->events.lost)
        listener->events.lost(listener->arg, message);
}

static bool
ask(pg_listener *listener, const char *sql)
{
    listener->is_asking = PQsendQuery(listener->conn, sql) == 1;
    return listener->is_asking && pg_connector_flush(listener->conn, listener->writable);
}

static void
on_probe_time(evutil_socket_t fd, short what, void *arg)
{
    pg_listener *listener = arg;
    struct timeval wait = {.tv_sec = PROBE_INTERVAL_S};

    (void)fd;
    (void)what;
    if (listener->is_asking || !ask(listener, "SELECT 1")) {
        lose_connection(listener, "the listening connection does not answer");
        return;
    }
    evtimer_add(listener->probe, &wait);
}

/* Takes the results that have arrived. Returns false when the connection can no longer be used. */
static bool
take_results(pg_listener *listener, bool *is_answered)
{
    bool ok = true;

    *is_answered = false;
    while (listener->is_asking && !PQisBusy(listener->conn)) {
        PGresult *result = PQgetResult(listener->conn);

        if (result == NULL) {
            listener->is_asking = false;
            *is_answered = true;
            break;
        }
        ok = ok && PQresultStatus(result) != PGRES_FATAL_ERROR;
        PQclear(result);
    }
    return ok;
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
    pg_listener *listener = arg;
    PGnotify *notify;
    bool is_answered;

    (void)fd;
    (void)what;
    if (!PQconsumeInput(listener->conn) || !take_results(listener, &is_answered) ||
        PQstatus(listener->conn) == CONNECTION_BAD) {
        char message[512];

        pg_connector_error_line(listener->conn, message, sizeof(message));
        lose_connection(listener, message);
        return;
    }
    if (is_answered && !listener->is_listening) {
        listener->is_listening = true;
        listener->events.listening(listener->arg);
    }
    while (listener->conn != NULL && (notify = PQnotifies(listener->conn)) != NULL) {
        listener->events.notified(listener->arg, notify->relname);
        PQfreemem(notify);
    }
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
    pg_listener *listener = arg;

    (void)fd;
    (void)what;
    if (!pg_connector_flush(listener->conn, listener->writable))
        lose_connection(listener, "the listening connection was lost");
}

static void
on_opened(void *arg, PGconn *conn)
{
    pg_listener *listener = arg;
    struct timeval wait = {.tv_sec = PROBE_INTERVAL_S};

    listener->conn = conn;
    listener->readable =
        event_new(listener->base, PQsocket(conn), EV_READ | EV_PERSIST, on_readable, listener);
    listener->writable = event_new(listener->base, PQsocket(conn), EV_WRITE, on_writable, listener);
    event_add(listener->readable, NULL);
    evtimer_add(listener->probe, &wait);
    if (!ask(listener, listener->listen_sql))
        lose_connection(listener, "the listening connection was lost");
}

static void
on_failed(void *arg, const char *message)
{
    pg_listener *listener = arg;

    if (listener->events.lost)
        listener->events.lost(listener->arg, message);
}

pg_listener *
pg_listener_new(struct event_base *base, const char *url, const char *application,
                const char *const *channels, const pg_listener_events *events, void *arg,
                char *message, size_t message_size)
{
    static const pg_connector_events connector_events = {on_opened, on_failed};
    pg_listener *listener = xcalloc(1, sizeof(*listener));
    buf sql = BUF_INIT;

    listener->base = base;
    listener->events = *events;
    listener->arg = arg;
    listener->probe = evtimer_new(base, on_probe_time, listener);
    for (; *channels != NULL; channels++)
        buf_printf(&sql, "LISTEN %s;", *channels);
    listener->listen_sql = buf_steal(&sql);
    listener->connector = pg_connector_new(base, url, application, &connector_events, listener,
                                           message, message_size);
    if (listener->connector == NULL) {
        pg_listener_free(listener);
        return NULL;
    }
    pg_connector_start(listener->connector);
    return listener;
}

void
pg_listener_free(pg_listener *listener)
{
    if (listener == NULL)
        return;
    close_connection(listener);
    pg_connector_free(listener->connector);
    event_free(listener->probe);
    free(listener->listen_sql);
    free(listener);
}
