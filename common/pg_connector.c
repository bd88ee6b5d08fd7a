/* pg_connector.c: opens one connection to PostgreSQL from the event loop; see pg_connector.h. */
#include "common/pg_connector.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/clock.h"

/* libpq's own connect_timeout does not work without blocking. */
#define CONNECT_TIMEOUT_S 10.0
#define BACKOFF_FIRST_S 0.05
#define BACKOFF_MAX_S 2.0
/* A connection that is lost sooner was of no use: a pooler without a server opens it, too. */
#define OF_USE_S 1.0
#define PARAMETERS_MAX 64

struct pg_connector {
    struct event_base *base;
    pg_connector_events events;
    void *arg;
    char *keywords[PARAMETERS_MAX + 1];
    char *values[PARAMETERS_MAX + 1];
    int parameter_count;
    PGconn *conn; /* only while connecting */
    struct event *io;
    struct event *timer; /* the attempt's time limit, or the wait before the next one */
    double backoff_s;
    double opened_s; /* when the last connection was opened */
};

static void attempt(pg_connector *connector);

static struct timeval
to_timeval(double seconds)
{
    return (struct timeval){.tv_sec = (time_t)seconds,
                            .tv_usec = (suseconds_t)((seconds - (double)(time_t)seconds) * 1e6)};
}

bool
pg_connector_flush(PGconn *conn, struct event *writable)
{
    int pending = PQflush(conn);

    if (pending > 0)
        event_add(writable, NULL);
    return pending >= 0;
}

void
pg_connector_error_line(const PGconn *conn, char *line, size_t size)
{
    const char *message = conn ? PQerrorMessage(conn) : "out of memory";
    size_t length = 0;

    while (*message != '\0' && length + 1 < size) {
        line[length++] = (char)(isspace((unsigned char)*message) ? ' ' : *message);
        message++;
    }
    while (length > 0 && (line[length - 1] == ' ' || line[length - 1] == '.'))
        length--;
    line[length] = '\0';
}

/* ---- parameters ------------------------------------------------------------- */

static void
add_parameter(pg_connector *connector, const char *keyword, const char *value)
{
    if (connector->parameter_count == PARAMETERS_MAX)
        return;
    connector->keywords[connector->parameter_count] = xstrdup(keyword);
    connector->values[connector->parameter_count++] = xstrdup(value);
}

static bool
has_parameter(const pg_connector *connector, const char *keyword)
{
    for (int i = 0; i < connector->parameter_count; i++) {
        if (strcmp(connector->keywords[i], keyword) == 0)
            return true;
    }
    return false;
}

static void
add_default(pg_connector *connector, const char *keyword, const char *value)
{
    if (!has_parameter(connector, keyword))
        add_parameter(connector, keyword, value);
}

static bool
read_url(pg_connector *connector, const char *url, char *message, size_t size)
{
    PQconninfoOption *options = PQconninfoParse(url, NULL);

    if (options == NULL) {
        snprintf(message, size, "the URL is not one that libpq can read");
        return false;
    }
    for (PQconninfoOption *option = options; option->keyword != NULL; option++) {
        if (option->val != NULL)
            add_parameter(connector, option->keyword, option->val);
    }
    PQconninfoFree(options);
    return true;
}

pg_connector *
pg_connector_new(struct event_base *base, const char *url, const char *application,
                 const pg_connector_events *events, void *arg, char *message, size_t message_size)
{
    pg_connector *connector = xcalloc(1, sizeof(*connector));

    connector->base = base;
    connector->events = *events;
    connector->arg = arg;
    connector->backoff_s = BACKOFF_FIRST_S;
    if (!read_url(connector, url, message, message_size)) {
        pg_connector_free(connector);
        return NULL;
    }
    add_default(connector, "fallback_application_name", application);
    add_default(connector, "client_encoding", "UTF8");
    add_default(connector, "keepalives_idle", "15");
    add_default(connector, "keepalives_interval", "5");
    add_default(connector, "keepalives_count", "3");
    /* This also limits the wait for one of several hosts when it does not answer. */
    add_default(connector, "tcp_user_timeout", "5000");
    return connector;
}

static void
drop_io(pg_connector *connector)
{
    if (connector->io != NULL)
        event_free(connector->io);
    connector->io = NULL;
}

static void
drop_attempt(pg_connector *connector)
{
    drop_io(connector);
    if (connector->timer != NULL)
        event_free(connector->timer);
    connector->timer = NULL;
    if (connector->conn != NULL)
        PQfinish(connector->conn);
    connector->conn = NULL;
}

void
pg_connector_free(pg_connector *connector)
{
    if (connector == NULL)
        return;
    drop_attempt(connector);
    for (int i = 0; i < connector->parameter_count; i++) {
        free(connector->keywords[i]);
        free(connector->values[i]);
    }
    free(connector);
}

/* ---- attempts ----------------------------------------------------------------- */

static void
set_timer(pg_connector *connector, double seconds, event_callback_fn callback)
{
    struct timeval wait = to_timeval(seconds);

    if (connector->timer != NULL)
        event_free(connector->timer);
    connector->timer = evtimer_new(connector->base, callback, connector);
    evtimer_add(connector->timer, &wait);
}

static void
on_retry_time(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    attempt(arg);
}

/* Each wait is longer than the one before. */
static void
try_later(pg_connector *connector)
{
    double jitter = 0.5 + (double)(random() % 1000) / 1000.0;

    drop_attempt(connector);
    set_timer(connector, connector->backoff_s * jitter, on_retry_time);
    connector->backoff_s *= 2;
    if (connector->backoff_s > BACKOFF_MAX_S)
        connector->backoff_s = BACKOFF_MAX_S;
}

static void
fail_attempt(pg_connector *connector, const char *message)
{
    try_later(connector);
    connector->events.failed(connector->arg, message);
}

static void
on_attempt_timeout(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    fail_attempt(arg, "connecting took too long");
}

static void
finish_attempt(pg_connector *connector)
{
    PGconn *conn = connector->conn;

    connector->conn = NULL;
    drop_attempt(connector);
    connector->opened_s = clock_now_s();
    PQsetnonblocking(conn, 1);
    connector->events.opened(connector->arg, conn);
}

static void on_connect_ready(evutil_socket_t fd, short what, void *arg);

static void
advance(pg_connector *connector, PostgresPollingStatusType status)
{
    char message[512];
    short events;

    drop_io(connector);
    switch (status) {
    case PGRES_POLLING_OK: finish_attempt(connector); return;
    case PGRES_POLLING_READING: events = EV_READ; break;
    case PGRES_POLLING_WRITING: events = EV_WRITE; break;
    default:
        pg_connector_error_line(connector->conn, message, sizeof(message));
        fail_attempt(connector, message);
        return;
    }
    /* The socket may be a different one after each step. */
    connector->io =
        event_new(connector->base, PQsocket(connector->conn), events, on_connect_ready, connector);
    event_add(connector->io, NULL);
}

static void
on_connect_ready(evutil_socket_t fd, short what, void *arg)
{
    pg_connector *connector = arg;

    (void)fd;
    (void)what;
    advance(connector, PQconnectPoll(connector->conn));
}

static void
ignore_notice(void *arg, const char *message)
{
    (void)arg;
    (void)message;
}

static void
attempt(pg_connector *connector)
{
    drop_attempt(connector);
    connector->conn = PQconnectStartParams((const char *const *)connector->keywords,
                                           (const char *const *)connector->values, 0);
    if (connector->conn == NULL || PQstatus(connector->conn) == CONNECTION_BAD) {
        char message[512];

        pg_connector_error_line(connector->conn, message, sizeof(message));
        fail_attempt(connector, message);
        return;
    }
    PQsetNoticeProcessor(connector->conn, ignore_notice, NULL);
    set_timer(connector, CONNECT_TIMEOUT_S, on_attempt_timeout);
    advance(connector, PGRES_POLLING_WRITING);
}

void
pg_connector_start(pg_connector *connector)
{
    if (clock_now_s() < connector->opened_s + OF_USE_S) {
        try_later(connector);
        return;
    }
    connector->backoff_s = BACKOFF_FIRST_S;
    drop_attempt(connector);
    set_timer(connector, 0, on_retry_time);
}

void
pg_connector_stop(pg_connector *connector)
{
    drop_attempt(connector);
    connector->backoff_s = BACKOFF_FIRST_S;
}
