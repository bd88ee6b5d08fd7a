/*
 * pg_pool_size.c: how many connections a pool has. A few are kept open. More are opened, one after
 * the other, while something waits only because no connection is free, and are closed when they
 * have been idle for long. pg_pool_lane.c decides who may use them.
 */
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/pg_pool_internal.h"

/* Connections that are always there. */
#define KEPT 4
/* After this time, connections that are not kept are closed. */
#define IDLE_S 30.0
/* After the server refused one more connection. */
#define GROW_PAUSE_S 5.0

static void
on_opened(void *arg, PGconn *pg)
{
    connection *conn = arg;

    conn->pool->has_told_of_limit &= conn->is_kept;
    pg_pool_connection_open(conn, pg);
}

/* The pool goes on with the connections that it has. */
static void
do_without(pg_pool *pool, const char *reason)
{
    char message[800];

    pool->is_limited = true;
    pool->may_grow_from_s = clock_now_s() + GROW_PAUSE_S;
    if (pool->has_told_of_limit)
        return;
    pool->has_told_of_limit = true;
    snprintf(message, sizeof(message),
             "could not open more than %d of %d connections to the database: %s", pool->ready_count,
             pool->options.connections, reason);
    pg_pool_connection_report(pool, LOG_LEVEL_WARNING, message);
}

/* There is no connection, and none can be opened. */
static void
end_all_queued(pg_pool *pool, const char *message)
{
    request_list queues[LANES];
    pg_request *request;

    memcpy(queues, pool->queues, sizeof(queues));
    memset(pool->queues, 0, sizeof(pool->queues));
    for (pool_lane lane = LANE_READ; lane < LANES; lane++) {
        while ((request = pg_pool_list_take(&queues[lane])) != NULL) {
            /* A callback may abandon others, and those are not counted any more. */
            if (request->callback != NULL)
                pool->queue_count--;
            pg_pool_request_deliver(request, PG_UNAVAILABLE, message);
        }
    }
}

static void
on_connect_failed(void *arg, const char *reason)
{
    connection *conn = arg;
    pg_pool *pool = conn->pool;
    bool is_refused = strstr(reason, PG_CONNECTOR_REFUSED_PARAMETER) != NULL;
    char message[800];

    if (!conn->is_kept || pool->ready_count > 0) {
        pg_connector_stop(conn->connector);
        conn->is_opening = false;
        pool->is_kept_one_lost |= conn->is_kept;
    }
    if (pool->ready_count > 0) {
        do_without(pool, reason);
        return;
    }
    snprintf(message, sizeof(message), "could not connect to the database: %s%s%s", reason,
             is_refused ? ": " : "", is_refused ? PG_CONNECTOR_PARAMETER_ADVICE : "");
    if (!pool->is_away)
        pg_pool_connection_report(pool, LOG_LEVEL_ERROR, message);
    pool->is_away = true;
    end_all_queued(pool, message);
}

static void
begin_to_open(connection *conn)
{
    conn->is_opening = true;
    pg_connector_start(conn->connector);
}

bool
pg_pool_size_init(pg_pool *pool, char *message, size_t message_size)
{
    static const pg_connector_events events = {on_opened, on_connect_failed};
    const pg_pool_options *options = &pool->options;

    for (int i = 0; i < options->connections; i++) {
        connection *conn = &pool->connections[i];

        conn->pool = pool;
        conn->lane = LANE_NONE;
        conn->is_kept = i < KEPT;
        conn->connector = pg_connector_new(pool->base, options->url, options->application, &events,
                                           conn, message, message_size);
        if (conn->connector == NULL)
            return false;
        if (conn->is_kept)
            begin_to_open(conn);
    }
    return true;
}

void
pg_pool_size_adjust(pg_pool *pool)
{
    connection *closed = NULL;
    bool may_open = pool->ready_count == 0 || clock_now_s() >= pool->may_grow_from_s;
    bool may_grow = pool->is_connection_wanted && pool->ready_count > 0 && may_open;

    if (!may_open)
        return;
    pool->is_kept_one_lost = false;
    for (int i = 0; i < pool->options.connections; i++) {
        connection *conn = &pool->connections[i];

        /* One after the other, and the last one must have been set up. */
        may_grow &= !conn->is_opening && (conn->lane != LANE_NONE || conn->in_flight.head == NULL);
        if (conn->pg != NULL || conn->is_opening)
            continue;
        if (conn->is_kept)
            begin_to_open(conn);
        else if (closed == NULL)
            closed = conn;
    }
    if (may_grow && closed != NULL)
        begin_to_open(closed);
}

void
pg_pool_size_shrink(pg_pool *pool, double now_s)
{
    for (int i = 0; i < pool->options.connections; i++) {
        connection *conn = &pool->connections[i];

        /* One that is to be kept may be away. */
        if (conn->pg != NULL && !conn->is_kept && conn->in_flight.head == NULL &&
            conn->idle_since_s + IDLE_S < now_s && pool->ready_count > KEPT)
            pg_pool_connection_drop(conn);
    }
}
