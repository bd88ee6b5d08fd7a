/*
 * pg_pool.c: takes requests into the queues of the pool, ends those that wait there for too long,
 * and makes and frees the pool. See pg_pool.h; pg_pool_internal.h says where everything else is.
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

/* ---- time ------------------------------------------------------------------------------ */

static void
end_overdue_queued(pg_pool *pool, pool_lane lane, double now)
{
    request_list queue = pool->queues[lane];
    pg_request *request;

    pool->queues[lane] = (request_list){NULL, NULL};
    while ((request = pg_pool_list_take(&queue)) != NULL) {
        if (request->callback != NULL && request->deadline_s > now) {
            pg_pool_list_append(&pool->queues[lane], request);
            continue;
        }
        if (request->callback != NULL)
            pool->queue_count--;
        pg_pool_request_deliver(request, PG_UNAVAILABLE, "the database was busy for too long");
    }
}

static void
on_standbys(void *arg, const pg_reply *reply)
{
    pg_pool *pool = arg;

    if (reply->status != PG_OK)
        return;
    pool->has_standbys = PQgetvalue(reply->result, 0, 0)[0] == 't';
    pool->standbys_known_s = clock_now_s();
}

/*
 * Before a write becomes overdue, and is cancelled: finds out whether commits wait for standbys
 * now. A reload of the settings of the server changes that.
 */
static void
ask_for_standbys(pg_pool *pool, double now_s)
{
    static const pg_statement statement = {
        .sql = "SELECT pg_catalog.current_setting('synchronous_standby_names') <> ''"
               " AS has_standbys",
        .is_read_only = true,
        .columns = "has_standbys",
    };
    double half_s = pool->options.timeout_s / 2;
    bool is_needed = false;

    for (int i = 0; i < pool->options.connections; i++) {
        const connection *conn = &pool->connections[i];

        is_needed |= conn->lane == LANE_WRITE && conn->in_flight.head != NULL &&
                     conn->in_flight.head->deadline_s < now_s + half_s;
    }
    if (!is_needed || now_s < pool->standbys_asked_s + half_s / 2)
        return;
    pool->standbys_asked_s = now_s;
    pg_pool_query(pool, &statement, NULL, on_standbys, pool);
}

static void
on_sweep(evutil_socket_t fd, short what, void *arg)
{
    pg_pool *pool = arg;
    double now = clock_now_s();

    (void)fd;
    (void)what;
    for (pool_lane lane = LANE_READ; lane < LANES; lane++)
        end_overdue_queued(pool, lane, now);
    ask_for_standbys(pool, now);
    for (int i = 0; i < pool->options.connections; i++) {
        connection *conn = &pool->connections[i];

        if (!pg_pool_deadline_sweep(conn, now))
            pg_pool_connection_lose(conn, "no answer in time");
    }
    pg_pool_size_shrink(pool, now);
    pool->dispatch(pool);
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    pg_pool_lane_dispatch(arg);
}

/* ---- requests -------------------------------------------------------------------------- */

static pg_request *
send_or_queue(pg_pool *pool, const pg_guard *guard, const pg_statement *statement,
              const char *const *values, bool is_streamed, pg_callback callback, void *arg)
{
    pg_request *request;

    if (pool->is_away || pool->queue_count >= pool->options.queue_max)
        return NULL;
    request = pg_pool_request_new(pool, statement, values, guard);
    request->is_streamed = is_streamed;
    request->lane = pg_pool_lane_of(request);
    request->callback = callback;
    request->arg = arg;
    pg_pool_list_append(&pool->queues[request->lane], request);
    pool->queue_count++;
    pool->dispatch(pool);
    return request;
}

pg_request *
pg_pool_query(pg_pool *pool, const pg_statement *statement, const char *const *values,
              pg_callback callback, void *arg)
{
    return send_or_queue(pool, NULL, statement, values, false, callback, arg);
}

pg_request *
pg_pool_stream(pg_pool *pool, const pg_statement *statement, const char *const *values,
               pg_callback callback, void *arg)
{
    return send_or_queue(pool, NULL, statement, values, true, callback, arg);
}

pg_request *
pg_pool_read(pg_pool *pool, const pg_guard *guard, const pg_statement *statement,
             const char *const *values, bool is_streamed, pg_callback callback, void *arg)
{
    return send_or_queue(pool, guard, statement, values, is_streamed, callback, arg);
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

bool
pg_pool_is_ready(const pg_pool *pool)
{
    return pool->ready_count > 0;
}

/* ---- life ------------------------------------------------------------------------------ */

pg_pool *
pg_pool_new(struct event_base *base, const pg_pool_options *options, char *message,
            size_t message_size)
{
    pg_pool *pool = xcalloc(1, sizeof(*pool));
    struct timeval interval = {.tv_usec = SWEEP_INTERVAL_MS * 1000};

    pool->base = base;
    pool->options = *options;
    pool->dispatch = pg_pool_lane_dispatch;
    pool->connections = xcalloc((size_t)options->connections, sizeof(connection));
    pool->sweep = event_new(base, -1, EV_PERSIST, on_sweep, pool);
    pool->tick = evtimer_new(base, on_tick, pool);
    if (!pg_pool_size_init(pool, message, message_size)) {
        pg_pool_free(pool);
        return NULL;
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
    for (pool_lane lane = LANE_READ; lane < LANES; lane++)
        free_list(&pool->queues[lane]);
    event_free(pool->tick);
    event_free(pool->sweep);
    free(pool->connections);
    free(pool);
}
