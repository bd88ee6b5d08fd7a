/* pg_listen.c: LISTEN on a connection of its own; see pg_listen.h. */
#include "common/pg_listen.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/hex.h"
#include "common/pg_connector.h"

/* A dead connection looks like a quiet one. So we send a statement from time to time, and give the
 * connection up when there is no answer. */
#define PROBE_INTERVAL_S 20
/* The channel of notifications to oneself, how long one may take, and when another one is sent if
 * the first could not be. */
#define CHECK_CHANNEL "ctms_listen_check"
#define CHECK_TIMEOUT_S 2
#define CHECK_AGAIN_S 1

#define DEAF                                                                                       \
    "LISTEN hears nothing, as through a pooler that does not keep sessions: CTMS_LISTEN_DB_URL "   \
    "must"                                                                                         \
    " reach the server directly"

static const pg_statement notify_statement = {
    .sql = "SELECT pg_catalog.pg_notify('" CHECK_CHANNEL "', $1) AS sent",
    .parameter_count = 1,
    .columns = "sent",
};

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
    bool has_asked_to_listen; /* LISTEN has been answered */
    bool is_listening; /* a notification to oneself has arrived, and none was missing since */
    bool is_asking;    /* a statement is in flight */
    bool is_refused;   /* it has failed */

    pg_pool *pool;
    pg_request *sending;           /* the notification to oneself, NULL when none is being sent */
    char token[HEX_ID_LENGTH + 1]; /* its content; "" when it has arrived */
    struct event *check;           /* it is late, or is to be sent again */
};

/* ---- the connection ------------------------------------------------------------- */

static void
close_connection(pg_listener *listener)
{
    if (listener->readable != NULL)
        event_free(listener->readable);
    if (listener->writable != NULL)
        event_free(listener->writable);
    listener->readable = listener->writable = NULL;
    evtimer_del(listener->probe);
    evtimer_del(listener->check);
    if (listener->sending != NULL)
        pg_request_abandon(listener->sending);
    listener->sending = NULL;
    listener->token[0] = '\0';
    if (listener->conn != NULL)
        PQfinish(listener->conn);
    listener->conn = NULL;
    listener->is_listening = listener->is_asking = listener->has_asked_to_listen = false;
}

static void
say_deaf(pg_listener *listener, const char *message)
{
    listener->is_listening = false;
    if (listener->events.lost)
        listener->events.lost(listener->arg, message);
}

static void
lose_connection(pg_listener *listener, const char *message)
{
    close_connection(listener);
    pg_connector_start(listener->connector);
    say_deaf(listener, message);
}

static bool
ask(pg_listener *listener, const char *sql)
{
    listener->is_refused = false;
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
    if (listener->token[0] != '\0' && listener->sending == NULL) {
        /* Another connection may reach the server that the pool is connected to. */
        lose_connection(listener, DEAF);
        return;
    }
    if (listener->is_asking ||
        !ask(listener, listener->has_asked_to_listen ? "SELECT 1" : listener->listen_sql)) {
        lose_connection(listener, "the listening connection does not answer");
        return;
    }
    evtimer_add(listener->probe, &wait);
}

/* ---- notifications to oneself ---------------------------------------------------- */

static void
wait_for_check(pg_listener *listener, int seconds)
{
    struct timeval wait = {.tv_sec = seconds};

    evtimer_add(listener->check, &wait);
}

static void
on_sent(void *arg, const pg_reply *reply)
{
    pg_listener *listener = arg;

    listener->sending = NULL;
    if (reply->status != PG_OK) {
        listener->token[0] = '\0';
        wait_for_check(listener, CHECK_AGAIN_S);
    } else if (listener->token[0] != '\0') {
        wait_for_check(listener, CHECK_TIMEOUT_S);
    }
}

/* Another connection must send it: through a pooler, the server may take the same session for what
 * listens and for what comes next, and the answer to that would bring the notification. */
static void
send_to_self(pg_listener *listener)
{
    const char *values[] = {listener->token};

    if (listener->sending != NULL)
        return;
    hex_write_id(listener->token);
    listener->sending = pg_pool_query(listener->pool, &notify_statement, values, on_sent, listener);
    if (listener->sending == NULL) {
        listener->token[0] = '\0';
        wait_for_check(listener, CHECK_AGAIN_S);
    }
}

static void
on_check_time(evutil_socket_t fd, short what, void *arg)
{
    pg_listener *listener = arg;

    (void)fd;
    (void)what;
    if (listener->token[0] == '\0')
        send_to_self(listener);
    else
        say_deaf(listener, DEAF);
}

/* One that comes late counts too. */
static void
hear_self(pg_listener *listener, const char *token)
{
    if (listener->token[0] == '\0' || strcmp(listener->token, token) != 0)
        return;
    listener->token[0] = '\0';
    evtimer_del(listener->check);
    if (listener->is_listening)
        return;
    listener->is_listening = true;
    listener->events.listening(listener->arg);
}

/* ---- what the server says -------------------------------------------------------- */

/* Takes the results that have arrived. Returns true if the statement is answered. */
static bool
take_results(pg_listener *listener)
{
    while (listener->is_asking && !PQisBusy(listener->conn)) {
        PGresult *result = PQgetResult(listener->conn);

        if (result == NULL) {
            listener->is_asking = false;
            return true;
        }
        listener->is_refused |= PQresultStatus(result) == PGRES_FATAL_ERROR;
        PQclear(result);
    }
    return false;
}

/* A standby refuses LISTEN, for example. It is asked again at the next probe. */
static void
end_statement(pg_listener *listener)
{
    char message[512];

    if (listener->is_refused) {
        pg_connector_error_line(listener->conn, message, sizeof(message));
        say_deaf(listener, message);
        return;
    }
    listener->has_asked_to_listen = true;
    send_to_self(listener);
}

static void
take_notifications(pg_listener *listener)
{
    PGnotify *notify;

    while (listener->conn != NULL && (notify = PQnotifies(listener->conn)) != NULL) {
        if (strcmp(notify->relname, CHECK_CHANNEL) == 0)
            hear_self(listener, notify->extra);
        else
            listener->events.notified(listener->arg, notify->relname);
        PQfreemem(notify);
    }
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
    pg_listener *listener = arg;
    bool is_answered;
    char message[512];

    (void)fd;
    (void)what;
    if (!PQconsumeInput(listener->conn)) {
        pg_connector_error_line(listener->conn, message, sizeof(message));
        lose_connection(listener, message);
        return;
    }
    is_answered = take_results(listener);
    if (PQstatus(listener->conn) == CONNECTION_BAD) {
        pg_connector_error_line(listener->conn, message, sizeof(message));
        lose_connection(listener, message);
        return;
    }
    if (is_answered)
        end_statement(listener);
    take_notifications(listener);
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

static char *
listen_to(const char *const *channels)
{
    buf sql = BUF_INIT;

    for (; *channels != NULL; channels++)
        buf_printf(&sql, "LISTEN %s;", *channels);
    buf_append_string(&sql, "LISTEN " CHECK_CHANNEL);
    return buf_steal(&sql);
}

pg_listener *
pg_listener_new(struct event_base *base, const pg_listener_options *options,
                const pg_listener_events *events, void *arg, char *message, size_t message_size)
{
    static const pg_connector_events connector_events = {on_opened, on_failed};
    pg_listener *listener = xcalloc(1, sizeof(*listener));

    listener->base = base;
    listener->events = *events;
    listener->arg = arg;
    listener->pool = options->pool;
    listener->probe = evtimer_new(base, on_probe_time, listener);
    listener->check = evtimer_new(base, on_check_time, listener);
    listener->listen_sql = listen_to(options->channels);
    listener->connector = pg_connector_new(base, options->url, options->application,
                                           &connector_events, listener, message, message_size);
    if (listener->connector == NULL) {
        pg_listener_free(listener);
        return NULL;
    }
    pg_connector_start(listener->connector);
    return listener;
}

bool
pg_listener_is_listening(const pg_listener *listener)
{
    return listener->is_listening;
}

void
pg_listener_free(pg_listener *listener)
{
    if (listener == NULL)
        return;
    close_connection(listener);
    pg_connector_free(listener->connector);
    event_free(listener->probe);
    event_free(listener->check);
    free(listener->listen_sql);
    free(listener);
}
