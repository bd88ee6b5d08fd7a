/*
 * pg_pool.c: many requests over few connections to PostgreSQL, from the event loop.
 *
 * A request is, on the wire: [Parse] Bind Execute Sync. It waits in the pool's queue, then
 * in its connection's list of requests that are in flight, in the order of sending, and is
 * over when its Sync is answered: only then is its transaction known to be committed.
 */
#include "pg_pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "buf.h"
#include "pg_connector.h"

/* Requests in flight on one connection. */
#define PIPELINE_DEPTH 16
#define STATEMENTS_MAX 64
/* How often time limits are looked at, and how long the server's own limit goes first. */
#define SWEEP_INTERVAL_MS 250
#define GRACE_S 2.0

typedef struct request_list {
    pg_request *head;
    pg_request *tail;
} request_list;

typedef struct connection {
    pg_pool *pool;
    pg_connector *connector;
    PGconn *pg; /* NULL while it is away */
    struct event *readable;
    struct event *writable;
    request_list in_flight;
    int in_flight_count;
    bool is_broken;    /* to be replaced as soon as its results are taken */
    bool is_unwanted;  /* to be replaced when nothing is in flight any more */
    unsigned prepared; /* statements prepared in its life, for their names */
    int statement_count;
    struct {
        const pg_statement *statement;
        unsigned name;
    } statements[STATEMENTS_MAX];
} connection;

struct pg_request {
    pg_pool *pool;
    const pg_statement *statement;
    pg_callback callback; /* NULL: abandoned */
    void *arg;
    connection *sent_on; /* NULL: in the queue */
    double deadline_s;
    bool is_preparing; /* the next result is that of Parse */
    bool was_retried;
    PGresult *result;
    PGresult *error;
    pg_request *next;
    const char *values[];
};

struct pg_pool {
    struct event_base *base;
    pg_pool_options options;
    connection *connections;
    request_list queue;
    int queue_count; /* without abandoned ones */
    int ready_count;
    bool is_away; /* no connection, and the last attempt failed */
    struct event *sweep;
};

static void dispatch(pg_pool *pool);

static double
now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void
report(pg_pool *pool, bool is_error, const char *message)
{
    if (pool->options.log)
        pool->options.log(pool->options.log_arg, is_error, message);
}

/* ---- requests and lists --------------------------------------------------- */

static void
list_append(request_list *list, pg_request *request)
{
    request->next = NULL;
    if (list->tail != NULL)
        list->tail->next = request;
    else
        list->head = request;
    list->tail = request;
}

static pg_request *
list_take(request_list *list)
{
    pg_request *request = list->head;

    if (request != NULL) {
        list->head = request->next;
        if (list->head == NULL)
            list->tail = NULL;
    }
    return request;
}

/* The values live behind the request in the same piece of memory. */
static pg_request *
request_new(pg_pool *pool, const pg_statement *statement, const char *const *values)
{
    size_t count = (size_t)statement->parameter_count;
    size_t size = sizeof(pg_request) + count * sizeof(char *);
    pg_request *request;
    char *text;

    for (size_t i = 0; i < count; i++)
        size += values[i] ? strlen(values[i]) + 1 : 0;
    request = xmalloc(size);
    memset(request, 0, sizeof(*request));
    request->pool = pool;
    request->statement = statement;
    request->deadline_s = now_s() + pool->options.timeout_s;
    text = (char *)&request->values[count];
    for (size_t i = 0; i < count; i++) {
        size_t length = values[i] ? strlen(values[i]) + 1 : 0;

        request->values[i] = values[i] ? memcpy(text, values[i], length) : NULL;
        text += length;
    }
    return request;
}

static void
forget_results(pg_request *request)
{
    PQclear(request->result);
    PQclear(request->error);
    request->result = request->error = NULL;
    request->is_preparing = false;
}

static void
request_free(pg_request *request)
{
    forget_results(request);
    free(request);
}

/* Calls the callback and frees the request. */
static void
deliver(pg_request *request, pg_status status, const char *message)
{
    pg_reply reply = {.status = status,
                      .sqlstate = "",
                      .message = message ? message : "",
                      .was_retried = request->was_retried};

    if (status == PG_OK)
        reply.result = request->result;
    if (status == PG_ERROR) {
        const char *primary = PQresultErrorField(request->error, PG_DIAG_MESSAGE_PRIMARY);

        reply.sqlstate = PQresultErrorField(request->error, PG_DIAG_SQLSTATE);
        reply.message = primary ? primary : "";
        reply.detail = PQresultErrorField(request->error, PG_DIAG_MESSAGE_DETAIL);
    }
    if (request->callback != NULL)
        request->callback(request->arg, &reply);
    request_free(request);
}

/* Back to the front of the queue, to be sent once more. */
static void
requeue(pg_request *request)
{
    pg_pool *pool = request->pool;

    forget_results(request);
    request->sent_on = NULL;
    request->next = pool->queue.head;
    pool->queue.head = request;
    if (pool->queue.tail == NULL)
        pool->queue.tail = request;
    if (request->callback != NULL)
        pool->queue_count++;
}

/* ---- prepared statements ----------------------------------------------------- */

/* The number in the name of the prepared statement, 0 if it is not prepared. */
static unsigned
prepared_name(const connection *conn, const pg_statement *statement)
{
    for (int i = 0; i < conn->statement_count; i++) {
        if (conn->statements[i].statement == statement)
            return conn->statements[i].name;
    }
    return 0;
}

static void
forget_statement(connection *conn, const pg_statement *statement)
{
    for (int i = 0; i < conn->statement_count; i++) {
        if (conn->statements[i].statement == statement)
            conn->statements[i] = conn->statements[--conn->statement_count];
    }
}

static bool
prepare(connection *conn, pg_request *request, unsigned *name)
{
    char text[16];

    if (conn->statement_count == STATEMENTS_MAX)
        conn->statement_count = 0;
    *name = ++conn->prepared;
    snprintf(text, sizeof(text), "ctms_%u", *name);
    if (!PQsendPrepare(conn->pg, text, request->statement->sql, 0, NULL))
        return false;
    request->is_preparing = true;
    conn->statements[conn->statement_count].statement = request->statement;
    conn->statements[conn->statement_count++].name = *name;
    return true;
}

/* ---- connections --------------------------------------------------------------- */

static void
drop_connection(connection *conn)
{
    if (conn->readable != NULL)
        event_free(conn->readable);
    if (conn->writable != NULL)
        event_free(conn->writable);
    conn->readable = conn->writable = NULL;
    if (conn->pg != NULL) {
        PQfinish(conn->pg);
        conn->pool->ready_count--;
    }
    conn->pg = NULL;
    conn->statement_count = 0;
    conn->in_flight_count = 0;
    conn->is_broken = conn->is_unwanted = false;
}

/*
 * Ends the requests of a connection that is gone. What the server had refused stays
 * refused; what only reads is sent again; what may have been done is lost.
 */
static void
end_in_flight(request_list *list, const char *message)
{
    request_list again = {NULL, NULL};
    pg_request *request;

    while ((request = list_take(list)) != NULL) {
        if (request->error != NULL) {
            deliver(request, PG_ERROR, NULL);
        } else if (request->statement->is_read_only && !request->was_retried &&
                   request->callback != NULL) {
            /* Turned round here, and round again by requeue(). */
            request->was_retried = true;
            request->next = again.head;
            again.head = request;
        } else {
            deliver(request, PG_LOST, message);
        }
    }
    while ((request = list_take(&again)) != NULL)
        requeue(request);
}

static void
lose_connection(connection *conn, const char *reason)
{
    pg_pool *pool = conn->pool;
    request_list in_flight = conn->in_flight;
    char message[512];

    snprintf(message, sizeof(message), "connection to the database lost: %s", reason);
    conn->in_flight = (request_list){NULL, NULL};
    drop_connection(conn);
    pg_connector_start(conn->connector);
    report(pool, true, message);
    end_in_flight(&in_flight, message);
}

static void
lose_connection_by_error(connection *conn)
{
    char reason[400];

    pg_connector_error_line(conn->pg, reason, sizeof(reason));
    lose_connection(conn, reason);
}

static bool
flush(connection *conn)
{
    int pending = PQflush(conn->pg);

    if (pending > 0)
        event_add(conn->writable, NULL);
    return pending >= 0;
}

/* Sends a request. When that fails the connection is broken, and the request still to be sent. */
static bool
send_request(connection *conn, pg_request *request)
{
    unsigned name = prepared_name(conn, request->statement);
    char text[16];

    if (name == 0 && !prepare(conn, request, &name))
        return false;
    snprintf(text, sizeof(text), "ctms_%u", name);
    if (!PQsendQueryPrepared(conn->pg, text, request->statement->parameter_count, request->values,
                             NULL, NULL, 0))
        return false;
    /* From here on the server may carry it out. */
    request->sent_on = conn;
    list_append(&conn->in_flight, request);
    conn->in_flight_count++;
    if (!PQpipelineSync(conn->pg) || !flush(conn))
        conn->is_broken = true;
    return true;
}

/* ---- results ---------------------------------------------------------------------- */

static bool
has_sqlstate(const PGresult *error, const char *sqlstate)
{
    const char *own = PQresultErrorField(error, PG_DIAG_SQLSTATE);

    return own != NULL && strncmp(own, sqlstate, strlen(sqlstate)) == 0;
}

/* The server rolled it back, and once more may work. */
static bool
is_worth_retrying(connection *conn, pg_request *request)
{
    const char *message = PQresultErrorField(request->error, PG_DIAG_MESSAGE_PRIMARY);

    if (request->was_retried || request->callback == NULL)
        return false;
    if (has_sqlstate(request->error, "40001") || has_sqlstate(request->error, "40P01"))
        return true;
    /* A pooler gave us another session, or the result of a function has changed its type. */
    if (has_sqlstate(request->error, "26000") ||
        (has_sqlstate(request->error, "0A000") && message && strstr(message, "cached plan"))) {
        forget_statement(conn, request->statement);
        return true;
    }
    return false;
}

/* The answer to the Sync of the first request in flight has come. */
static void
finish_request(connection *conn)
{
    pg_request *request = list_take(&conn->in_flight);

    conn->in_flight_count--;
    request->sent_on = NULL;
    if (request->error == NULL) {
        deliver(request, PG_OK, NULL);
        return;
    }
    /* A primary that became a standby, or a server that stops: look for another. */
    if (has_sqlstate(request->error, "25006") || has_sqlstate(request->error, "57P"))
        conn->is_unwanted = true;
    if (is_worth_retrying(conn, request)) {
        request->was_retried = true;
        requeue(request);
        return;
    }
    deliver(request, PG_ERROR, NULL);
}

static void
take_error(connection *conn, pg_request *request, PGresult *result)
{
    if (PQresultErrorField(result, PG_DIAG_SQLSTATE) == NULL) {
        /* libpq's own words for a connection that is gone. */
        conn->is_broken = true;
        PQclear(result);
        return;
    }
    if (request->is_preparing) {
        forget_statement(conn, request->statement);
        request->is_preparing = false;
    }
    PQclear(request->error);
    request->error = result;
}

static void
take_result(connection *conn, PGresult *result)
{
    pg_request *request = conn->in_flight.head;

    switch (PQresultStatus(result)) {
    case PGRES_PIPELINE_SYNC:
        PQclear(result);
        finish_request(conn);
        break;
    case PGRES_PIPELINE_ABORTED: PQclear(result); break;
    case PGRES_TUPLES_OK:
    case PGRES_COMMAND_OK:
        if (request->is_preparing) {
            request->is_preparing = false;
            PQclear(result);
            break;
        }
        PQclear(request->result);
        request->result = result;
        break;
    default: take_error(conn, request, result); break;
    }
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
    connection *conn = arg;
    int nothing = 0;

    (void)fd;
    (void)what;
    if (!PQconsumeInput(conn->pg))
        conn->is_broken = true;
    /* A null ends the results of each command; several mean that nothing more is to come. */
    while (conn->in_flight.head != NULL && nothing < 3 && !PQisBusy(conn->pg)) {
        PGresult *result = PQgetResult(conn->pg);

        nothing = result ? 0 : nothing + 1;
        if (result != NULL)
            take_result(conn, result);
    }
    if (conn->is_broken || PQstatus(conn->pg) == CONNECTION_BAD)
        lose_connection_by_error(conn);
    else if (conn->is_unwanted && conn->in_flight.head == NULL)
        lose_connection(conn, "it does not take writes, or is being stopped");
    dispatch(conn->pool);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
    connection *conn = arg;

    (void)fd;
    (void)what;
    if (!flush(conn)) {
        lose_connection_by_error(conn);
        dispatch(conn->pool);
    }
}

static void
on_opened(void *arg, PGconn *pg)
{
    connection *conn = arg;
    pg_pool *pool = conn->pool;

    conn->pg = pg;
    pool->ready_count++;
    if (!PQenterPipelineMode(pg)) {
        lose_connection_by_error(conn);
        return;
    }
    conn->readable = event_new(pool->base, PQsocket(pg), EV_READ | EV_PERSIST, on_readable, conn);
    conn->writable = event_new(pool->base, PQsocket(pg), EV_WRITE, on_writable, conn);
    event_add(conn->readable, NULL);
    if (pool->is_away)
        report(pool, false, "the database is back");
    pool->is_away = false;
    dispatch(pool);
}

static void
on_connect_failed(void *arg, const char *reason)
{
    connection *conn = arg;
    pg_pool *pool = conn->pool;
    request_list queue = pool->queue;
    pg_request *request;
    char message[600];

    if (pool->ready_count > 0)
        return;
    snprintf(message, sizeof(message), "could not connect to the database: %s", reason);
    if (!pool->is_away)
        report(pool, true, message);
    pool->is_away = true;
    pool->queue = (request_list){NULL, NULL};
    pool->queue_count = 0;
    while ((request = list_take(&queue)) != NULL)
        deliver(request, PG_UNAVAILABLE, message);
}

/* ---- the queue ------------------------------------------------------------------------ */

/* The open connection with the fewest requests in flight, NULL when all are full. */
static connection *
pick_connection(pg_pool *pool)
{
    connection *best = NULL;

    for (int i = 0; i < pool->options.connections; i++) {
        connection *conn = &pool->connections[i];

        if (conn->pg == NULL || conn->is_broken || conn->is_unwanted ||
            conn->in_flight_count >= PIPELINE_DEPTH)
            continue;
        if (best == NULL || conn->in_flight_count < best->in_flight_count)
            best = conn;
    }
    return best;
}

static void
dispatch(pg_pool *pool)
{
    connection *conn;

    while (pool->queue.head != NULL && (conn = pick_connection(pool)) != NULL) {
        pg_request *request = list_take(&pool->queue);

        if (request->callback == NULL) {
            request_free(request);
            continue;
        }
        pool->queue_count--;
        if (!send_request(conn, request)) {
            requeue(request);
            conn->is_broken = true;
        }
        if (conn->is_broken) {
            /* Its callbacks must not run inside pg_pool_query(). */
            event_active(conn->readable, EV_READ, 0);
        }
    }
}

static void
end_overdue_queued(pg_pool *pool, double now)
{
    request_list queue = pool->queue;
    pg_request *request;

    pool->queue = (request_list){NULL, NULL};
    while ((request = list_take(&queue)) != NULL) {
        if (request->callback != NULL && request->deadline_s > now) {
            list_append(&pool->queue, request);
            continue;
        }
        if (request->callback != NULL)
            pool->queue_count--;
        deliver(request, PG_UNAVAILABLE, "the database was busy for too long");
    }
}

static void
on_sweep(evutil_socket_t fd, short what, void *arg)
{
    pg_pool *pool = arg;
    double now = now_s();

    (void)fd;
    (void)what;
    if (pool->queue.head != NULL)
        end_overdue_queued(pool, now);
    for (int i = 0; i < pool->options.connections; i++) {
        connection *conn = &pool->connections[i];

        if (conn->in_flight.head != NULL && conn->in_flight.head->deadline_s + GRACE_S < now)
            lose_connection(conn, "no answer in time");
    }
    dispatch(pool);
}

pg_request *
pg_pool_query(pg_pool *pool, const pg_statement *statement, const char *const *values,
              pg_callback callback, void *arg)
{
    pg_request *request;

    if (pool->is_away || pool->queue_count >= pool->options.queue_max)
        return NULL;
    request = request_new(pool, statement, values);
    request->callback = callback;
    request->arg = arg;
    list_append(&pool->queue, request);
    pool->queue_count++;
    dispatch(pool);
    return request;
}

void
pg_request_abandon(pg_request *request)
{
    if (request->callback != NULL && request->sent_on == NULL)
        request->pool->queue_count--;
    request->callback = NULL;
}

pg_pool_stats
pg_pool_get_stats(const pg_pool *pool)
{
    pg_pool_stats stats = {.ready = pool->ready_count, .queued = pool->queue_count};

    for (int i = 0; i < pool->options.connections; i++)
        stats.in_flight += pool->connections[i].in_flight_count;
    return stats;
}

/* ---- life ------------------------------------------------------------------------------ */

pg_pool *
pg_pool_new(struct event_base *base, const pg_pool_options *options, char *message,
            size_t message_size)
{
    static const pg_connector_events events = {on_opened, on_connect_failed};
    pg_pool *pool = xcalloc(1, sizeof(*pool));
    struct timeval interval = {.tv_usec = SWEEP_INTERVAL_MS * 1000};

    pool->base = base;
    pool->options = *options;
    pool->connections = xcalloc((size_t)options->connections, sizeof(connection));
    pool->sweep = event_new(base, -1, EV_PERSIST, on_sweep, pool);
    for (int i = 0; i < options->connections; i++) {
        connection *conn = &pool->connections[i];

        conn->pool = pool;
        conn->connector =
            pg_connector_new(base, options->url, options->application, options->timeout_s, &events,
                             conn, message, message_size);
        if (conn->connector == NULL) {
            pg_pool_free(pool);
            return NULL;
        }
        pg_connector_start(conn->connector);
    }
    event_add(pool->sweep, &interval);
    return pool;
}

static void
free_list(request_list *list)
{
    pg_request *request;

    while ((request = list_take(list)) != NULL)
        request_free(request);
}

void
pg_pool_free(pg_pool *pool)
{
    if (pool == NULL)
        return;
    for (int i = 0; i < pool->options.connections; i++) {
        connection *conn = &pool->connections[i];

        free_list(&conn->in_flight);
        drop_connection(conn);
        pg_connector_free(conn->connector);
    }
    free_list(&pool->queue);
    event_free(pool->sweep);
    free(pool->connections);
    free(pool);
}
