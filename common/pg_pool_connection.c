/*
 * pg_pool_connection.c: one connection of a pool: opening, sending, taking results, losing it.
 * Which request is sent where is decided in pg_pool_lane.c, which stands above this file: it is
 * called (pool->dispatch) when there is room for more requests.
 *
 * On the wire a request is [Parse] Bind Execute Sync, with a guard [Parse] [Parse] Bind Execute
 * Bind Execute Sync; pg_pool_statement.c sends all but the Sync. It waits in the list of requests
 * in flight, in the order of sending. It ends when its Sync is answered, because only then its
 * transaction is known to be committed. Before the Sync of some writes there is a Flush: their rows
 * come when they are executed, before the commit.
 */
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/pg_pool_internal.h"
#include "common/pg_session.h"

/* How often the log tells of a lost connection. */
#define LOSS_TOLD_EVERY_S 1.0
/* How often all connections are replaced. */
#define AVOIDED_EVERY_S 1.0

/* ---- connections --------------------------------------------------------------- */

void
pg_pool_connection_report(const pg_pool *pool, log_level level, const char *message)
{
    if (pool->options.log)
        pool->options.log(pool->options.log_arg, level, message);
}

void
pg_pool_connection_drop(connection *conn)
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
    conn->lane = LANE_NONE;
    conn->is_broken = conn->is_unwanted = conn->may_stop_writes = false;
    conn->is_pooled = conn->is_unnamed = false;
    conn->complaint[0] = conn->last_words[0] = '\0';
    conn->stopping_since_s = conn->may_hit_other_until_s = 0;
}

/*
 * Ends the requests of a connection that is gone. A request that the server had refused stays
 * refused; one that only reads is sent again; the result of any other is reported as lost, and so
 * is that of one which got somebody else's result.
 */
static void
end_in_flight(request_list *list, const char *message)
{
    request_list again = {NULL, NULL};
    pg_request *request;

    while ((request = pg_pool_list_take(list)) != NULL) {
        bool is_refused = request->error != NULL && !pg_pool_has_sqlstate(request->error, "57P");

        if (!is_refused && request->statement->is_read_only && !request->was_retried &&
            !request->has_begun && !request->is_misfit && request->callback != NULL) {
            /* This reverses the order; pg_pool_request_requeue() reverses it again. */
            request->was_retried = true;
            request->next = again.head;
            again.head = request;
        } else if (request->error != NULL) {
            pg_pool_request_deliver(request, PG_ERROR, NULL);
        } else {
            pg_pool_request_deliver(request, PG_LOST, message);
        }
    }
    while ((request = pg_pool_list_take(&again)) != NULL)
        pg_pool_request_requeue(request);
}

void
pg_pool_connection_lose(connection *conn, const char *reason)
{
    pg_pool *pool = conn->pool;
    request_list in_flight = conn->in_flight;
    char message[512];

    snprintf(message, sizeof(message), "connection to the database lost: %s", reason);
    conn->in_flight = (request_list){NULL, NULL};
    pg_pool_connection_drop(conn);
    pool->is_kept_one_lost |= conn->is_kept;
    /* They are often lost together. */
    if (clock_now_s() - pool->loss_told_s > LOSS_TOLD_EVERY_S) {
        pg_pool_connection_report(pool, LOG_LEVEL_ERROR, message);
        pool->loss_told_s = clock_now_s();
    }
    end_in_flight(&in_flight, message);
}

static void
lose_by_error(connection *conn)
{
    const PGresult *error = conn->in_flight.head ? conn->in_flight.head->error : NULL;
    char reason[400];

    if (conn->complaint[0] != '\0')
        snprintf(reason, sizeof(reason), "%s", conn->complaint);
    else if (pg_pool_has_sqlstate(error, "08") || pg_pool_has_sqlstate(error, "57P"))
        /* The last words of a pooler, or of a server that is being stopped. */
        snprintf(reason, sizeof(reason), "%s", PQresultErrorField(error, PG_DIAG_MESSAGE_PRIMARY));
    else if (conn->last_words[0] != '\0')
        snprintf(reason, sizeof(reason), "%s", conn->last_words);
    else
        pg_connector_error_line(conn->pg, reason, sizeof(reason));
    pg_pool_connection_lose(conn, reason);
}

/*
 * Has the rows of a streamed request delivered one by one. Call it whenever a request may have
 * become the one whose results come next; otherwise it has no effect.
 */
static void
ask_for_rows(connection *conn)
{
    const pg_request *request = conn->in_flight.head;

    if (request != NULL && request->is_streamed && !request->is_preparing_guard &&
        !request->is_preparing && !request->is_guarding)
        PQsetSingleRowMode(conn->pg);
}

bool
pg_pool_connection_send(connection *conn, pg_request *request)
{
    if (!pg_pool_statement_send(conn, request))
        return false;
    /* From here on the server may execute the request. */
    request->sent_on = conn;
    if (conn->in_flight.head == NULL)
        conn->head_since_s = clock_now_s();
    if (request->lane != LANE_NONE)
        conn->lane = request->lane;
    pg_pool_list_append(&conn->in_flight, request);
    conn->in_flight_count++;
    ask_for_rows(conn);
    request->is_sampled = pg_pool_pace_is_sampled(conn->pool, request);
    if ((request->is_sampled && !PQsendFlushRequest(conn->pg)) || !PQpipelineSync(conn->pg) ||
        !pg_connector_flush(conn->pg, conn->writable))
        conn->is_broken = true;
    return true;
}

/* ---- results ---------------------------------------------------------------------- */

static void
tell_of_pooler(const connection *conn)
{
    if (!conn->is_unnamed || conn->pool->has_told_of_pooler)
        return;
    pg_pool_connection_report(conn->pool, LOG_LEVEL_WARNING,
                              "the pooler before the database does not keep prepared statements"
                              " (PgBouncer: " PG_CONNECTOR_POOLER_ADVICE
                              "): every request is parsed anew, which is slower");
    conn->pool->has_told_of_pooler = true;
}

/* True if the server rolled the request back and another attempt may succeed. */
static bool
is_worth_retrying(connection *conn, pg_request *request)
{
    if (request->has_begun || request->callback == NULL)
        return false;
    if (pg_pool_statement_can_do_without(conn, request)) {
        tell_of_pooler(conn);
        return true;
    }
    if (pg_pool_deadline_was_mishit(conn, request) && !request->was_hit)
        return request->was_hit = true;
    if (!request->was_retried &&
        (pg_pool_has_sqlstate(request->error, "40001") ||
         pg_pool_has_sqlstate(request->error, "40P01") ||
         (request->statement->is_read_only && pg_pool_has_sqlstate(request->error, "57P"))))
        return request->was_retried = true;
    return false;
}

/* The server does not take writes any more. Connections that are idle learn of it without a request
 * that fails. A server that only reads for longer still answers reads, so not at each write. */
static void
avoid_all(pg_pool *pool)
{
    double now_s = clock_now_s();

    if (now_s < pool->avoided_s + AVOIDED_EVERY_S)
        return;
    pool->avoided_s = now_s;
    for (int i = 0; i < pool->options.connections; i++) {
        connection *conn = &pool->connections[i];

        if (conn->pg == NULL)
            continue;
        conn->is_unwanted = true;
        event_active(conn->readable, EV_READ, 0);
    }
}

/* The server refused the request; nothing was changed. */
static void
finish_refused(connection *conn, pg_request *request, bool was_stopped)
{
    /* The server is a standby now, for all its connections, or this one is being stopped: look for
     * another one. */
    if (pg_pool_has_sqlstate(request->error, "25006"))
        avoid_all(conn->pool);
    if (pg_pool_has_sqlstate(request->error, "57P"))
        conn->is_unwanted = true;
    if (is_worth_retrying(conn, request))
        pg_pool_request_requeue(request);
    else if (was_stopped && pg_pool_has_sqlstate(request->error, "57014"))
        pg_pool_request_deliver(request, PG_UNAVAILABLE, "the database took too long");
    else
        pg_pool_request_deliver(request, PG_ERROR, NULL);
}

/* The Sync of the first request in flight was answered. */
static void
finish_request(connection *conn)
{
    pg_request *request = pg_pool_list_take(&conn->in_flight);
    bool was_stopped = conn->stopping_since_s > 0;
    double now_s = clock_now_s();

    conn->in_flight_count--;
    if (request->lane == LANE_READ)
        pg_pool_pace_note_answered(conn, now_s);
    conn->head_since_s = now_s;
    if (conn->in_flight.head == NULL) {
        conn->lane = LANE_NONE;
        conn->idle_since_s = conn->head_since_s;
    }
    request->sent_on = NULL;
    pg_pool_deadline_end(conn);
    if (request->error != NULL)
        finish_refused(conn, request, was_stopped);
    else if (request->is_unconfirmed)
        pg_pool_request_deliver(request, PG_LOST,
                                "the commit was cancelled while it waited for a standby");
    else
        pg_pool_request_deliver(request, PG_OK, NULL);
}

static void
take_error(connection *conn, pg_request *request, PGresult *result)
{
    if (PQresultErrorField(result, PG_DIAG_SQLSTATE) == NULL) {
        /* This is the text of libpq itself for a connection that is gone. */
        conn->is_broken = true;
        PQclear(result);
        return;
    }
    request->is_guard_refused =
        request->is_preparing_guard || (request->is_guarding && !request->is_preparing);
    pg_pool_statement_forget_unprepared(conn, request);
    request->is_preparing_guard = request->is_preparing = request->is_guarding = false;
    PQclear(request->error);
    request->error = result;
}

/* Nobody reads a result of another statement, and nobody uses the connection any longer. */
static void
note_misfit(connection *conn, pg_request *request)
{
    request->is_misfit = true;
    conn->is_broken = true;
}

static void
take_rows(connection *conn, pg_request *request, PGresult *result)
{
    if (!pg_pool_statement_fits(request, result, conn->complaint, sizeof(conn->complaint))) {
        note_misfit(conn, request);
        PQclear(result);
    } else if (PQresultStatus(result) == PGRES_SINGLE_TUPLE) {
        pg_pool_request_deliver_part(request, PG_ROW, result);
        PQclear(result);
    } else if (request->is_guarding) {
        request->is_guarding = false;
        PQclear(result);
        if (request->is_streamed)
            pg_pool_request_deliver_part(request, PG_GUARD_HELD, NULL);
    } else {
        PQclear(request->result);
        request->result = result;
        request->is_executed = true;
        if (request->is_sampled)
            pg_pool_pace_note_executed(conn);
    }
}

static void
take_success(connection *conn, pg_request *request, PGresult *result)
{
    bool *is_preparing =
        request->is_preparing_guard ? &request->is_preparing_guard : &request->is_preparing;

    if (!*is_preparing) {
        take_rows(conn, request, result);
        return;
    }
    *is_preparing = false;
    PQclear(result);
}

/* Each statement has a result: if it was not refused and has none, somebody else got it. */
static void
take_end(connection *conn, pg_request *request)
{
    if (request->error != NULL || request->result != NULL) {
        finish_request(conn);
        return;
    }
    snprintf(conn->complaint, sizeof(conn->complaint),
             "\"%.100s\" was executed without a result: a pooler mixes up sessions",
             request->statement->sql);
    note_misfit(conn, request);
}

static void
take_result(connection *conn, PGresult *result)
{
    pg_request *request = conn->in_flight.head;

    switch (PQresultStatus(result)) {
    case PGRES_PIPELINE_SYNC:
        PQclear(result);
        take_end(conn, request);
        break;
    case PGRES_PIPELINE_ABORTED: PQclear(result); break;
    case PGRES_SINGLE_TUPLE:
    case PGRES_TUPLES_OK:
    case PGRES_COMMAND_OK: take_success(conn, request, result); break;
    default: take_error(conn, request, result); break;
    }
}

/* ---- events ------------------------------------------------------------ */

/* Through a pooler, a session may be one that another program has told to LISTEN. */
static void
drop_notifications(PGconn *pg)
{
    PGnotify *notify;

    while ((notify = PQnotifies(pg)) != NULL)
        PQfreemem(notify);
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
    drop_notifications(conn->pg);
    /* One NULL ends the results of a command; several in a row mean that no more will come. */
    while (conn->in_flight.head != NULL && conn->complaint[0] == '\0' && nothing < 3 &&
           !PQisBusy(conn->pg)) {
        PGresult *result = PQgetResult(conn->pg);

        nothing = result ? 0 : nothing + 1;
        if (result != NULL)
            take_result(conn, result);
        ask_for_rows(conn);
    }
    pg_pool_deadline_next(conn);
    if (conn->is_broken || PQstatus(conn->pg) == CONNECTION_BAD)
        lose_by_error(conn);
    else if (conn->is_unwanted && conn->in_flight.head == NULL)
        pg_pool_connection_lose(conn, "it does not take writes, or is being stopped");
    conn->pool->dispatch(conn->pool);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
    connection *conn = arg;

    (void)fd;
    (void)what;
    if (!pg_connector_flush(conn->pg, conn->writable)) {
        lose_by_error(conn);
        conn->pool->dispatch(conn->pool);
    }
}

/*
 * Cancelling a commit that waits for a standby makes the server say that it is done, with only a
 * warning. Its text is translated, so we know it by the function that it comes from.
 */
static void
on_notice(void *arg, const PGresult *notice)
{
    connection *conn = arg;
    const char *function = PQresultErrorField(notice, PG_DIAG_SOURCE_FUNCTION);
    const char *severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);

    /* The session is ended while nothing is asked of it. */
    if (severity != NULL && strcmp(severity, "FATAL") == 0)
        snprintf(conn->last_words, sizeof(conn->last_words), "%s",
                 PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY));

    if (conn->in_flight.head != NULL && function != NULL &&
        strcmp(function, "SyncRepWaitForLSN") == 0)
        conn->in_flight.head->is_unconfirmed = true;
}

static void
on_session_set_up(void *arg, const pg_reply *reply)
{
    connection *conn = arg;
    pg_pool *pool = conn->pool;
    char message[400];
    pg_session session;

    /* Otherwise the connection is lost, and that has been told. */
    if (reply->status == PG_ERROR && conn->pg != NULL) {
        snprintf(message, sizeof(message), "could not set up a session: %s %s", reply->sqlstate,
                 reply->message);
        pg_pool_connection_report(pool, LOG_LEVEL_ERROR, message);
    }
    if (reply->status != PG_OK)
        return;
    session = pg_session_read(reply->result);
    conn->may_stop_writes = !session.has_standbys;
    conn->is_pooled = session.is_pooled;
    if (session.is_isolated && !pool->has_told_of_isolation) {
        pg_pool_connection_report(pool, LOG_LEVEL_ERROR, PG_SESSION_ISOLATION_ADVICE);
        pool->has_told_of_isolation = true;
    }
}

/* The first request of a connection; others are sent behind it without waiting. */
static void
set_up_session(connection *conn)
{
    pg_session_values values;
    pg_request *request;

    pg_session_fill(&values, conn->pg, conn->pool->options.timeout_s);
    request = pg_pool_request_new(conn->pool, &pg_session_set_up, values.values, NULL);
    request->callback = on_session_set_up;
    request->arg = conn;
    request->lane = LANE_NONE;
    request->is_unnamed = true;
    if (!pg_pool_connection_send(conn, request)) {
        pg_pool_request_free(request);
        conn->is_broken = true;
        event_active(conn->readable, EV_READ, 0);
    }
}

void
pg_pool_connection_open(connection *conn, PGconn *pg)
{
    pg_pool *pool = conn->pool;

    conn->pg = pg;
    conn->is_opening = false;
    conn->idle_since_s = clock_now_s();
    pool->ready_count++;
    if (!PQenterPipelineMode(pg)) {
        lose_by_error(conn);
        return;
    }
    conn->readable = event_new(pool->base, PQsocket(pg), EV_READ | EV_PERSIST, on_readable, conn);
    conn->writable = event_new(pool->base, PQsocket(pg), EV_WRITE, on_writable, conn);
    event_add(conn->readable, NULL);
    PQsetNoticeReceiver(pg, on_notice, conn);
    set_up_session(conn);
    if (pool->is_away)
        pg_pool_connection_report(pool, LOG_LEVEL_INFO, "the database is back");
    pool->is_away = false;
    pool->dispatch(pool);
}
