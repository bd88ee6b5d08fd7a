/*
 * pg_pool_deadline.c: the time limits of the requests in flight on one connection. The queue's are
 * in pg_pool.c.
 *
 * A request that only reads is answered at its deadline, whatever the server does. One that writes
 * is cancelled first, so that the answer can be that nothing was changed. The requests behind one
 * that is stuck get their turn when that is cancelled. If cancelling has no effect, the connection
 * is given up.
 *
 * A write whose commit waits for a standby keeps its connection: its session would go on waiting,
 * and with a new one in its place each time the server would soon have none left. That is so only
 * while the server says that commits wait: one that does not answer at all is given up.
 */
#include "common/clock.h"
#include "common/pg_cancel.h"
#include "common/pg_pool_internal.h"

/* How long a cancelled statement may take to end. */
#define GRACE_S 1.0
/* How long a request to cancel may be under way. */
#define UNDER_WAY_S 5.0

static void
answer_overdue(connection *conn, double now_s)
{
    for (pg_request *request = conn->in_flight.head; request != NULL; request = request->next) {
        if (request->callback == NULL || request->deadline_s > now_s)
            continue;
        if (request->statement->is_read_only)
            pg_pool_request_answer(request, PG_UNAVAILABLE, "the database took too long");
        else if (request->deadline_s + GRACE_S <= now_s)
            pg_pool_request_answer(request, PG_LOST,
                                   "the database took too long, and may still do it");
    }
}

/* True if the server has said lately whether commits wait for standbys. */
static bool
is_known(const pg_pool *pool, double now_s)
{
    return now_s < pool->standbys_known_s + pool->options.timeout_s;
}

/*
 * A commit that waits for a standby would be done, and seen by all, when it is cancelled. So where
 * commits wait, writes are not cancelled: the server's own time limit does not count that wait.
 */
static bool
may_stop_first(const connection *conn, double now_s)
{
    const pg_pool *pool = conn->pool;

    if (conn->in_flight.head->statement->is_read_only)
        return true;
    /* Nobody else could ask. */
    if (pool->options.connections == 1)
        return conn->may_stop_writes;
    return !pool->has_standbys && is_known(pool, now_s);
}

static bool
may_wait_for_standby(const connection *conn, double now_s)
{
    return conn->lane == LANE_WRITE && conn->pool->has_standbys && is_known(conn->pool, now_s);
}

static void
stop_first(connection *conn, double now_s)
{
    if (conn->stopping_since_s <= 0)
        conn->stopping_since_s = now_s;
    if (may_stop_first(conn, now_s))
        pg_cancel_begin(conn->pg);
}

bool
pg_pool_deadline_sweep(connection *conn, double now_s)
{
    answer_overdue(conn, now_s);
    if (conn->in_flight.head == NULL || conn->in_flight.head->deadline_s > now_s)
        return true;
    if (conn->stopping_since_s > 0 && conn->stopping_since_s + GRACE_S < now_s)
        return may_wait_for_standby(conn, now_s);
    stop_first(conn, now_s);
    return true;
}

void
pg_pool_deadline_end(connection *conn)
{
    if (conn->stopping_since_s > 0)
        conn->may_hit_other_until_s = clock_now_s() + UNDER_WAY_S;
    conn->stopping_since_s = 0;
}

void
pg_pool_deadline_next(connection *conn)
{
    double now_s = clock_now_s();

    if (conn->in_flight.head != NULL && conn->in_flight.head->deadline_s <= now_s)
        stop_first(conn, now_s);
}

bool
pg_pool_deadline_was_mishit(const connection *conn, const pg_request *request)
{
    double now_s = clock_now_s();

    return pg_pool_has_sqlstate(request->error, "57014") && request->deadline_s > now_s &&
           conn->may_hit_other_until_s > now_s;
}
