/*
 * pg_pool_lane.c: which waiting request is sent next, and on which connection.
 *
 * - Reads share a few connections: many are sent without waiting for answers, because a round trip
 *   costs more than such a query.
 * - A write has its connection for itself, because its commit waits for a flush of the disk, and
 *   perhaps for a standby. Only a few writes are at work at a time; more would only take turns on
 *   the processors. One whose statement is executed, so that it only waits for its commit, is not
 *   counted. So the slower the disk, the more writes are under way.
 * - A long read has its connection for itself, and few run at a time.
 *
 * A statement that is slow, as it waits for a lock, say, holds up nobody else: it is not counted
 * either, reads behind it are sent again on another connection, and it may not be slow on more than
 * half of the connections. Writes for the same contact go one after the other. Reads, and what is
 * not a read, each leave some connections to the other.
 */
#include "common/clock.h"
#include "common/pg_pool_internal.h"

/* Connections that reads share; over more of them they are slower (bench/rest.pl). */
#define READERS 4
/* While so many writes are at work, no connection is opened for another one. */
#define WRITERS 8
/* Writes at work at a time while there are reads, which come first. */
#define WRITERS_BESIDE_READS 1
#define LONG_READERS 4
/* Connections that are left to reads, if there are four times as many. */
#define FOR_READS 4
/* A read is sent again so often at most, as it is behind a slow one. */
#define MOVES_MAX 3
/* How often we look for slow ones while something waits. */
#define TICK_MS 5

pool_lane
pg_pool_lane_of(const pg_request *request)
{
    if (request->is_streamed)
        return LANE_LONG_READ;
    return request->statement->is_read_only ? LANE_READ : LANE_WRITE;
}

static bool
is_usable(const connection *conn)
{
    return conn->pg != NULL && !conn->is_broken && !conn->is_unwanted &&
           conn->stopping_since_s <= 0;
}

/* The first free one, so that the last ones become idle and are closed. Not one whose session is
 * still being set up: it may have to wait for its turn in a pooler. */
static connection *
find_free(pg_pool *pool)
{
    for (int i = 0; i < pool->options.connections; i++) {
        connection *conn = &pool->connections[i];

        if (is_usable(conn) && conn->in_flight.head == NULL)
            return conn;
    }
    return NULL;
}

/* How many connections there may be, as far as the server gives them. */
static int
count_most(const pg_pool *pool)
{
    return pool->is_limited ? pool->ready_count : pool->options.connections;
}

/* Of so many connections, those that reads may have. */
static int
share_of_reads(int connections)
{
    return connections > 1 ? connections - (connections + 3) / 4 : 1;
}

/* Of so many connections, those that writes and long reads may have. */
static int
share_of_others(int connections)
{
    int for_reads = connections / 4 < FOR_READS ? connections / 4 : FOR_READS;

    if (connections > 1 && for_reads == 0)
        for_reads = 1;
    return connections - for_reads;
}

static bool
has_room(const connection *conn)
{
    return conn->in_flight_count < (conn->is_pooled ? PIPELINE_DEPTH_POOLED : PIPELINE_DEPTH);
}

/* A free connection, or the one with the fewest reads in flight. */
static connection *
pick_for_read(pg_pool *pool, double now_s)
{
    int readers = 0, slow = 0;
    connection *shared = NULL, *free_one = NULL;

    for (int i = 0; i < pool->options.connections; i++) {
        connection *conn = &pool->connections[i];

        if (conn->lane != LANE_READ)
            continue;
        if (!is_usable(conn) || pg_pool_pace_is_slow(conn, now_s)) {
            slow++;
            continue;
        }
        readers++;
        if (has_room(conn) && (shared == NULL || conn->in_flight_count < shared->in_flight_count))
            shared = conn;
    }
    if (readers >= READERS)
        return shared;
    if (readers + slow < share_of_reads(count_most(pool)))
        free_one = find_free(pool);
    pool->is_connection_wanted |= free_one == NULL && shared == NULL &&
                                  readers + slow < share_of_reads(pool->options.connections);
    return free_one != NULL ? free_one : shared;
}

static int
limit_of(const pg_pool *pool, pool_lane lane, double now_s)
{
    int share = share_of_others(pool->options.connections);

    if (lane == LANE_LONG_READ)
        return share / 2 < LONG_READERS ? (share + 1) / 2 : LONG_READERS;
    if (!pg_pool_pace_has_reads(pool, now_s))
        return share;
    return pg_pool_pace_is_paused(pool, now_s) ? 0 : WRITERS_BESIDE_READS;
}

static connection *
pick_alone(pg_pool *pool, pool_lane lane, double now_s)
{
    int alone = 0, at_work = 0;
    connection *free_one = NULL;

    for (int i = 0; i < pool->options.connections; i++) {
        const connection *conn = &pool->connections[i];

        alone += conn->lane == LANE_WRITE || conn->lane == LANE_LONG_READ;
        at_work += conn->lane == lane && pg_pool_pace_is_at_work(conn, now_s);
    }
    if (at_work >= limit_of(pool, lane, now_s))
        return NULL;
    /* Of those that are open, because the server may not give the next one. */
    if (alone < share_of_others(pool->ready_count))
        free_one = find_free(pool);
    pool->is_connection_wanted |=
        free_one == NULL && at_work < WRITERS && alone < share_of_others(pool->options.connections);
    if (free_one != NULL)
        pool->last_alone = lane;
    return free_one;
}

/* True if the statement of the request is slow on half of the connections that it may have, as far
 * as we know: of a write that does not tell when it is executed we do not. */
static bool
is_crowded(const pg_pool *pool, const pg_request *request, double now_s)
{
    int most = request->lane == LANE_READ ? share_of_reads(count_most(pool))
                                          : share_of_others(count_most(pool));
    int under_way = 0, known = 0, slow = 0;

    for (int i = 0; i < pool->options.connections; i++) {
        const connection *conn = &pool->connections[i];
        const pg_request *first = conn->in_flight.head;

        if (first == NULL || first->statement != request->statement)
            continue;
        under_way++;
        if (first->lane == LANE_WRITE && !first->is_sampled)
            continue;
        known++;
        slow += pg_pool_pace_is_slow(conn, now_s) && !first->is_executed;
    }
    return slow > 0 && slow * under_way >= known * ((most + 1) / 2);
}

static void
send_on(pg_pool *pool, connection *conn, pg_request *request, double now_s)
{
    pool->queue_count--;
    if (request->lane == LANE_READ)
        pg_pool_pace_note_read(pool, now_s);
    if (!pg_pool_connection_send(conn, request)) {
        pg_pool_request_requeue(request);
        conn->is_broken = true;
    }
    /* The callbacks must not run inside pg_pool_query(), so the event is only made active. */
    if (conn->is_broken)
        event_active(conn->readable, EV_READ, 0);
}

/* True if a write for the same is under way. */
static bool
has_twin(const pg_pool *pool, const pg_request *request)
{
    for (int i = 0; request->key != 0 && i < pool->options.connections; i++) {
        const pg_request *last = pool->connections[i].in_flight.tail;

        if (last != NULL && last->key == request->key)
            return true;
    }
    return false;
}

/* Sends what may be sent of a lane, in its order. */
static void
serve(pg_pool *pool, pool_lane lane, double now_s)
{
    request_list *queue = &pool->queues[lane], passed = {NULL, NULL};
    /* Hundreds may wait for the same. */
    const pg_statement *crowded = NULL;
    unsigned long long twin = 0;
    connection *conn;

    while (queue->head != NULL) {
        if (queue->head->callback == NULL) {
            pg_pool_request_free(pg_pool_list_take(queue));
            continue;
        }
        if ((twin != 0 && queue->head->key == twin) || has_twin(pool, queue->head)) {
            twin = queue->head->key;
            pg_pool_list_append(&passed, pg_pool_list_take(queue));
            continue;
        }
        if (queue->head->statement == crowded || is_crowded(pool, queue->head, now_s)) {
            crowded = queue->head->statement;
            pg_pool_list_append(&passed, pg_pool_list_take(queue));
            continue;
        }
        conn = lane == LANE_READ ? pick_for_read(pool, now_s) : pick_alone(pool, lane, now_s);
        if (conn == NULL)
            break;
        send_on(pool, conn, pg_pool_list_take(queue), now_s);
    }
    if (passed.head == NULL)
        return;
    /* It is crowded on the connections that there are; there may be more again. */
    pool->is_connection_wanted |= pool->is_limited;
    passed.tail->next = queue->head;
    queue->head = passed.head;
    if (queue->tail == NULL)
        queue->tail = passed.tail;
}

/* Has reads behind a slow one sent again. */
static void
move_followers(connection *conn)
{
    request_list in_flight = conn->in_flight, moved = {NULL, NULL};
    pg_request *request;

    conn->in_flight = (request_list){NULL, NULL};
    pg_pool_list_append(&conn->in_flight, pg_pool_list_take(&in_flight));
    while ((request = pg_pool_list_take(&in_flight)) != NULL) {
        if (request->callback == NULL || request->move_count == MOVES_MAX) {
            pg_pool_list_append(&conn->in_flight, request);
            continue;
        }
        pg_pool_list_append(&conn->in_flight, pg_pool_request_stand_in(request));
        request->move_count++;
        /* This reverses the order; pg_pool_request_requeue() reverses it again. */
        request->next = moved.head;
        moved.head = request;
    }
    while ((request = pg_pool_list_take(&moved)) != NULL)
        pg_pool_request_requeue(request);
}

/* True while there is something that only time decides. */
static bool
needs_tick(const pg_pool *pool)
{
    if (pool->queue_count > 0)
        return true;
    for (int i = 0; i < pool->options.connections; i++) {
        if (pool->connections[i].lane == LANE_READ && pool->connections[i].in_flight_count > 1)
            return true;
    }
    return false;
}

void
pg_pool_lane_dispatch(pg_pool *pool)
{
    static const struct timeval tick = {.tv_usec = TICK_MS * 1000};
    double now_s = clock_now_s();
    /* By turns, so that neither takes each connection that becomes free. */
    pool_lane second = pool->last_alone == LANE_WRITE ? LANE_LONG_READ : LANE_WRITE;

    pool->is_connection_wanted = false;
    for (int i = 0; i < pool->options.connections; i++) {
        connection *conn = &pool->connections[i];

        if (conn->lane == LANE_READ && conn->in_flight_count > 1 &&
            pg_pool_pace_is_slow(conn, now_s) && pick_for_read(pool, now_s) != NULL)
            move_followers(conn);
    }
    serve(pool, LANE_READ, now_s);
    serve(pool, second, now_s);
    serve(pool, second == LANE_WRITE ? LANE_LONG_READ : LANE_WRITE, now_s);
    if (pool->is_connection_wanted || pool->is_kept_one_lost)
        pg_pool_size_adjust(pool);
    if (needs_tick(pool) && !evtimer_pending(pool->tick, NULL))
        evtimer_add(pool->tick, &tick);
}
