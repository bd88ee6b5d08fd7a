/*
 * replica.c: reads from a replica, but never an older state than what was answered before; see
 * replica.h.
 */
#include "rest/replica.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

/* How often a read is sent to a replica before the primary answers. */
#define TRIES_MAX 3
/* Before the last try: a commit that is on its way takes as long. */
#define LAST_WAIT_S 0.001

/* A statement that will be sent to a replica that has replayed enough. */
typedef struct reading {
    exchange *ex;
    const pg_statement *statement;
    bool is_streamed;
    pg_callback callback;
    position_wait *asking; /* NULL: the primary's position is known */
    position at;
    int tries;
    replica *target;     /* the one that was asked last; NULL: none */
    pg_request *request; /* to that; NULL: none is under way */
    double began_s;      /* when it was sent */
    struct event *timer; /* ends the try, or the wait before the last one */
    const char *values[];
} reading;

static const pg_statement require_replayed = {
    .sql = "SELECT ctms.require_replayed($1, $2, $3, $4)",
    .parameter_count = 4,
    .is_read_only = true,
    .columns = "require_replayed",
};

static void try_replica(reading *r);

static void
free_reading(reading *r)
{
    event_free(r->timer);
    free(r);
}

static void
end_try(reading *r, replica_outcome outcome)
{
    evtimer_del(r->timer);
    r->request = NULL;
    replicas_end_read(r->target, outcome, r->is_streamed, r->began_s);
}

static void
give_up_try(reading *r, replica_outcome outcome)
{
    pg_request_abandon(r->request);
    end_try(r, outcome);
}

static void
abandon_reading(void *awaited)
{
    reading *r = awaited;

    if (r->asking != NULL)
        position_abandon(r->asking);
    if (r->request != NULL)
        give_up_try(r, REPLICA_ABANDONED);
    free_reading(r);
}

/* Gives up on replicas; this ends the reading. */
static void
ask_primary(reading *r)
{
    replicas_note_primary(r->ex->app->replicas);
    exchange_end_wait(r->ex);
    if (r->is_streamed)
        exchange_query_rows(r->ex, r->statement, r->values, r->callback);
    else
        exchange_query(r->ex, r->statement, r->values, r->callback);
    free_reading(r);
}

/* True for an answer to the statement. All errors but those of the request itself may come from the
 * replica: its files, its library, its settings. */
static bool
is_answer(const pg_reply *reply)
{
    if (reply->status != PG_ERROR)
        return reply->status == PG_OK;
    return !reply->is_of_guard &&
           (pg_reply_has_sqlstate(reply, "CT") || pg_reply_has_sqlstate(reply, "22"));
}

static replica_outcome
judge(const pg_reply *reply)
{
    if (is_answer(reply))
        return REPLICA_ANSWERED;
    return reply->is_of_guard && pg_reply_has_sqlstate(reply, "CT503") ? REPLICA_BEHIND
                                                                       : REPLICA_AWAY;
}

static void
set_timer(const reading *r, double seconds)
{
    struct timeval wait = {.tv_sec = (time_t)seconds};

    wait.tv_usec = (suseconds_t)((seconds - (double)wait.tv_sec) * 1e6);
    evtimer_add(r->timer, &wait);
}

/* The rows may take long, but the server is there. */
static void
note_begun(reading *r)
{
    evtimer_del(r->timer);
    replicas_note_heard(r->target);
}

static void
on_read(void *arg, const pg_reply *reply)
{
    reading *r = arg;
    exchange *ex = r->ex;
    pg_callback callback = r->callback;
    replica_outcome outcome = judge(reply);

    if (reply->status == PG_GUARD_HELD) {
        note_begun(r);
        return;
    }
    if (reply->status == PG_ROW) {
        callback(ex, reply);
        return;
    }
    end_try(r, outcome);
    /* An answer that the client has begun to receive cannot be started again. */
    if (outcome == REPLICA_ANSWERED || ex->is_streaming) {
        exchange_end_wait(ex);
        free_reading(r);
        callback(ex, reply);
        return;
    }
    buf_free(&ex->first_part);
    if (outcome == REPLICA_BEHIND && r->tries == TRIES_MAX - 1)
        set_timer(r, LAST_WAIT_S);
    else
        try_replica(r);
}

/* One that does not answer is given up; another replica might not answer either. */
static void
on_time(evutil_socket_t fd, short what, void *arg)
{
    reading *r = arg;

    (void)fd;
    (void)what;
    if (r->request == NULL) {
        try_replica(r);
        return;
    }
    give_up_try(r, REPLICA_SLOW);
    ask_primary(r);
}

/* Returns false if the server did not take the request. */
static bool
send_to(reading *r, replica *target)
{
    const char *const values[] = {r->at.timeline, r->at.lsn,
                                  r->at.snapshot[0] ? r->at.snapshot : NULL, r->at.cluster};
    const pg_guard guard = {&require_replayed, values};

    r->target = target;
    r->began_s = clock_now_s();
    r->request =
        replicas_begin_read(target, &guard, r->statement, r->values, r->is_streamed, on_read, r);
    if (r->request == NULL)
        return false;
    pg_request_end_by(r->request, exchange_database_deadline_s(r->ex));
    set_timer(r, replicas_get_patience_s(target));
    return true;
}

static void
try_replica(reading *r)
{
    while (r->tries++ < TRIES_MAX) {
        replica *target = replicas_pick(r->ex->app->replicas, r->target);

        if (target == NULL)
            break;
        if (send_to(r, target))
            return;
    }
    ask_primary(r);
}

static void
on_position(void *arg, const position *at)
{
    reading *r = arg;

    r->asking = NULL;
    if (at == NULL) {
        ask_primary(r);
        return;
    }
    r->at = *at;
    try_replica(r);
}

void
replica_query(exchange *ex, const pg_statement *statement, const char *const *values,
              bool is_streamed, pg_callback callback)
{
    size_t size = (size_t)statement->parameter_count * sizeof(*values);
    reading *r = xcalloc(1, sizeof(*r) + size);

    r->ex = ex;
    r->statement = statement;
    r->is_streamed = is_streamed;
    r->callback = callback;
    memcpy(r->values, values, size);
    r->timer = evtimer_new(ex->app->base, on_time, r);
    exchange_wait(ex, r, abandon_reading);
    /* If no replica could answer, do not even ask for the position of the primary. */
    if (replicas_pick(ex->app->replicas, NULL) != NULL)
        r->asking = position_ask(ex->app->position, on_position, r);
    if (r->asking == NULL)
        ask_primary(r);
}
