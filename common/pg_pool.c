/*
 * pg_pool.c: the queue of the pool: it hands requests to connections, enforces time limits, and
 * creates and frees the pool. A single connection is in pg_pool_connection.c. See pg_pool.h.
 */
#include "common/pg_pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/pg_pool_internal.h"

/* How often time limits are checked. */
#define SWEEP_INTERVAL_MS 250

static void
on_opened(void *arg, PGconn *pg)
{
    pg_pool_connection_open(arg, pg);
}

static void
on_connect_failed(void *arg, const char *reason)
{
    connection *conn = arg;
    pg_pool *pool = conn->pool;
    request_list queue = pool->queue;
    pg_request *request;
    bool is_refused = strstr(reason, PG_CONNECTOR_REFUSED_PARAMETER) != NULL;
    char message[800];

    if (pool->ready_count > 0)
        return;
    snprintf(message, sizeof(message), "could not connect to the database: %s%s%s", reason,
             is_refused ? ": " : "", is_refused ? PG_CONNECTOR_PARAMETER_ADVICE : "");
    if (!pool->is_away)
        pg_pool_connection_report(pool, LOG_LEVEL_ERROR, message);
    pool->is_away = true;
    pool->queue = (request_list){NULL, NULL};
    pool->queue_count = 0;
    while ((request = pg_pool_list_take(&queue)) != NULL)
        pg_pool_request_deliver(request, PG_UNAVAILABLE, message);
}

/* ---- the queue ------------------------------------------------------------------------ */

/* The open connection with the fewest requests in flight, NULL when all are full or stuck. */
static connection *
pick_connection(pg_pool *pool)
{
    connection *best = NULL;

    for (int i = 0; i < pool->options.connections; i++) {
        connection *conn = &pool->connections[i];

        if (conn->pg == NULL || conn->is_broken || conn->is_unwanted ||
            conn->stopping_since_s > 0 || conn->in_flight_count >= PIPELINE_DEPTH)
            continue;
        if (best == NULL || conn->in_flight_count < best->in_flight_count)
            best = conn;
    }
    return best;
}

/* Sends waiting requests to connections that have room. */
static void
dispatch(pg_pool *pool)
{
    connection *conn;

    while (pool->queue.head != NULL && (conn = pick_connection(pool)) != NULL) {
        pg_request *request = pg_pool_list_take(&pool->queue);

        if (request->callback == NULL) {
            pg_pool_request_free(request);
            continue;
        }
        pool->queue_count--;
        if (!pg_pool_connection_send(conn, request)) {
            pg_pool_request_requeue(request);
            conn->is_broken = true;
        }
        if (conn->is_broken) {
            /* The callbacks must not run inside pg_pool_query(), so the event is only made
             * active. */
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
    while ((request = pg_pool_list_take(&queue)) != NULL) {
        if (request->callback != NULL && request->deadline_s > now) {
            pg_pool_list_append(&pool->queue, request);
            continue;
        }
        if (request->callback != NULL)
            pool->queue_count--;
        pg_pool_request_deliver(request, PG_UNAVAILABLE, "the database was busy for too long");
    }
}

static void
on_sweep(evutil_socket_t fd, short what, void *arg)
{
    pg_pool *pool = arg;
    double now = clock_now_s();

    (void)fd;
    (void)what;
    if (pool->queue.head != NULL)
        end_overdue_queued(pool, now);
    for (int i = 0; i < pool->options.connections; i++) {
        connection *conn = &pool->connections[i];

        if (!pg_pool_deadline_sweep(conn, now))
            pg_pool_connection_lose(conn, "no answer in time");
    }
    dispatch(pool);
}

static pg_request *
send_or_queue(pg_pool *pool, const pg_statement *statement, const char *const *values,
              bool is_streamed, pg_callback callback, void *arg)
{
    pg_request *request;

    if (pool->is_away || pool->queue_count >= pool->options.queue_max)
        return NULL;
    request = pg_pool_request_new(pool, statement, values);
    request->is_streamed = is_streamed;
    request->callback = callback;
    request->arg = arg;
    pg_pool_list_append(&pool->queue, request);
    pool->queue_count++;
    dispatch(pool);
    return request;
}

pg_request *
pg_pool_query(pg_pool *pool, const pg_statement *statement, const char *const *values,
              pg_callback callback, void *arg)
{
    return send_or_queue(pool, statement, values, false, callback, arg);
}

pg_request *
pg_pool_stream(pg_pool *pool, const pg_statement *statement, const char *const *values,
               pg_callback callback, void *arg)
{
    return send_or_queue(pool, statement, values, true, callback, arg);
}

void
pg_request_end_by(pg_request *request, double deadline_s)
{
    if (request->deadline_s > deadline_s)
        request->deadline_s = deadline_s;
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
    pool->dispatch = dispatch;
    pool->connections = xcalloc((size_t)options->connections, sizeof(connection));
    pool->sweep = event_new(base, -1, EV_PERSIST, on_sweep, pool);
    for (int i = 0; i < options->connections; i++) {
        connection *conn = &pool->connections[i];

        conn->pool = pool;
        conn->connector = pg_connector_new(base, options->url, options->application, &events, conn,
                                           message, message_size);
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

    while ((request = pg_pool_list_take(list)) != NULL)
        pg_pool_request_free(request);
}

void
pg_pool_free(pg_pool *pool)
{
    if (pool == NULL)
        return;
    for (int i = 0; i < pool->options.connections; i++) {
        connection *conn = &pool->connections[i];

        free_list(&conn->in_flight);
        pg_pool_connection_drop(conn);
        pg_connector_free(conn->connector);
    }
    free_list(&pool->queue);
    event_free(pool->sweep);
    free(pool->connections);
    free(pool);
}
