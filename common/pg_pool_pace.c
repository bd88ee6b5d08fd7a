/*
 * pg_pool_pace.c: how long statements take, and what follows from it: which are slow, how many
 * writes are at work, and how long the next one waits so that reads come first. It knows no queues
 * and sends nothing; pg_pool_lane.c asks it, pg_pool_connection.c tells it.
 */
#include "common/clock.h"
#include "common/pg_pool_internal.h"

/* A statement that takes longer is slow, ... */
#define SLOW_S 0.01
/* ... unless reads take long: the machine is busy, and would be busier if it did them twice. */
#define SLOW_READS 32
#define SLOW_MAX_S 0.25
/* Weight of the last one in the mean time of a read. */
#define READ_WEIGHT 0.01
/* There are reads if one was sent this short a time ago. */
#define RECENT_S 0.005
/* One write of so many tells when it is executed; beside reads each one does. */
#define SAMPLE 8
/* Weight of the last one in the mean time of execution. */
#define MEAN_WEIGHT 0.06
/* The pause after a write beside reads, in times of what it took too long. */
#define PAUSE 14
/* How fast the shortest time of a statement is forgotten. */
#define FORGET 1.001

static double
get_slow_s(const pg_pool *pool)
{
    double slow_s = SLOW_READS * pool->read_s;

    return slow_s < SLOW_S ? SLOW_S : slow_s > SLOW_MAX_S ? SLOW_MAX_S : slow_s;
}

bool
pg_pool_pace_is_slow(const connection *conn, double now_s)
{
    return conn->in_flight.head != NULL && conn->head_since_s + get_slow_s(conn->pool) < now_s;
}

bool
pg_pool_pace_has_reads(const pg_pool *pool, double now_s)
{
    return pool->options.does_reads_first && now_s < pool->last_read_s + RECENT_S;
}

bool
pg_pool_pace_is_paused(const pg_pool *pool, double now_s)
{
    return now_s < pool->next_write_s;
}

void
pg_pool_pace_note_read(pg_pool *pool, double now_s)
{
    pool->last_read_s = now_s;
}

/* What waited for a lock must not hide the next ones that do. */
void
pg_pool_pace_note_answered(connection *conn, double now_s)
{
    pg_pool *pool = conn->pool;
    double took_s = now_s - conn->head_since_s;
    double slow_s = get_slow_s(pool);

    pool->read_s += READ_WEIGHT * ((took_s < slow_s ? took_s : slow_s) - pool->read_s);
}

/* A write is, as far as we know, until its rows arrive, or for as long as writes take lately. */
bool
pg_pool_pace_is_at_work(const connection *conn, double now_s)
{
    const pg_request *last = conn->in_flight.tail;

    return last != NULL && !last->is_executed &&
           (conn->lane == LANE_LONG_READ || now_s < conn->head_since_s + conn->pool->execution_s);
}

/* The shortest time that a write of this statement took lately; slowly forgotten. */
static double *
shortest_of(pg_pool *pool, const pg_statement *statement)
{
    for (int i = 0; i < SHORTEST_MAX; i++) {
        if (pool->shortest[i].statement == statement)
            return &pool->shortest[i].time_s;
        if (pool->shortest[i].statement == NULL) {
            pool->shortest[i].statement = statement;
            pool->shortest[i].time_s = SLOW_S;
            return &pool->shortest[i].time_s;
        }
    }
    return NULL;
}

bool
pg_pool_pace_is_sampled(pg_pool *pool, const pg_request *request)
{
    return request->lane == LANE_WRITE &&
           (pool->write_count++ % SAMPLE == 0 || pg_pool_pace_has_reads(pool, clock_now_s()));
}

/*
 * What a write takes longer than it could shows that it competes with the reads, for the processors
 * of the database or for our own. So the next one waits for some times as long. Where there is room
 * for both, there is no pause.
 */
void
pg_pool_pace_note_executed(connection *conn)
{
    pg_pool *pool = conn->pool;
    double now_s = clock_now_s();
    double took_s = now_s - conn->head_since_s;
    double *shortest_s = shortest_of(pool, conn->in_flight.head->statement);

    if (took_s > SLOW_S)
        took_s = SLOW_S;
    pool->execution_s += MEAN_WEIGHT * (took_s - pool->execution_s);
    if (shortest_s == NULL)
        return;
    if (took_s < *shortest_s)
        *shortest_s = took_s;
    pool->next_write_s = now_s + PAUSE * (took_s - *shortest_s);
    *shortest_s *= FORGET;
}
