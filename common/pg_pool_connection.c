/*
 * pg_pool_connection.c: one connection of a pool: opening, sending, taking results, losing it. The
 * queue is in pg_pool.c, which stands above this file: it is called (pool->dispatch) when there is
 * room for more requests.
 *
 * On the wire a request is [Parse] Bind Execute Sync. It waits in the list of requests in flight,
 * in the order of sending. It ends when its Sync is answered, because only then its transaction is
 * known to be committed.
 */
#include <stdio.h>
#include <string.h>

#include "common/pg_pool_internal.h"

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

void
pg_pool_connection_report(const pg_pool *pool, bool is_error, const char *message)
{
    if (pool->options.log)
        pool->options.log(pool->options.log_arg, is_error, message);
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
    conn->is_broken = conn->is_unwanted = false;
}

/*
 * Ends the requests of a connection that is gone. A request that the server had refused stays
 * refused; one that only reads is sent again; the result of any other is reported as lost.
 */
static void
end_in_flight(request_list *list, const char *message)
{
    request_list again = {NULL, NULL};
    pg_request *request;

    while ((request = pg_pool_list_take(list)) != NULL) {
        if (request->error != NULL) {
            pg_pool_request_deliver(request, PG_ERROR, NULL);
        } else if (request->statement->is_read_only && !request->was_retried &&
                   !request->has_begun && request->callback != NULL) {
            /* This reverses the order; pg_pool_request_requeue() reverses it again. */
            request->was_retried = true;
            request->next = again.head;
            again.head = request;
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
    pg_connector_start(conn->connector);
    pg_pool_connection_report(pool, true, message);
    end_in_flight(&in_flight, message);
}

static void
lose_by_error(connection *conn)
{
    char reason[400];

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

    if (request != NULL && request->is_streamed && !request->is_preparing)
        PQsetSingleRowMode(conn->pg);
}

bool
pg_pool_connection_send(connection *conn, pg_request *request)
{
    unsigned name = prepared_name(conn, request->statement);
    char text[16];

    if (name == 0 && !prepare(conn, request, &name))
        return false;
    snprintf(text, sizeof(text), "ctms_%u", name);
    if (!PQsendQueryPrepared(conn->pg, text, request->statement->parameter_count, request->values,
                             NULL, NULL, 0))
        return false;
    /* From here on the server may execute the request. */
    request->sent_on = conn;
    pg_pool_list_append(&conn->in_flight, request);
    conn->in_flight_count++;
    ask_for_rows(conn);
    if (!PQpipelineSync(conn->pg) || !pg_connector_flush(conn->pg, conn->writable))
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

/* True if the server rolled the request back and a second attempt may succeed. */
static bool
is_worth_retrying(connection *conn, pg_request *request)
{
    const char *message = PQresultErrorField(request->error, PG_DIAG_MESSAGE_PRIMARY);

    if (request->was_retried || request->has_begun || request->callback == NULL)
        return false;
    if (has_sqlstate(request->error, "40001") || has_sqlstate(request->error, "40P01"))
        return true;
    /* A pooler gave us another session, or the result type of a function has changed. */
    if (has_sqlstate(request->error, "26000") ||
        (has_sqlstate(request->error, "0A000") && message && strstr(message, "cached plan"))) {
        forget_statement(conn, request->statement);
        return true;
    }
    return false;
}

/* The Sync of the first request in flight was answered. */
static void
finish_request(connection *conn)
{
    pg_request *request = pg_pool_list_take(&conn->in_flight);

    conn->in_flight_count--;
    request->sent_on = NULL;
    if (request->error == NULL) {
        pg_pool_request_deliver(request, PG_OK, NULL);
        return;
    }
    /* The server is a standby now, or it is being stopped: look for another one. */
    if (has_sqlstate(request->error, "25006") || has_sqlstate(request->error, "57P"))
        conn->is_unwanted = true;
    if (is_worth_retrying(conn, request)) {
        request->was_retried = true;
        pg_pool_request_requeue(request);
        return;
    }
    pg_pool_request_deliver(request, PG_ERROR, NULL);
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
    case PGRES_SINGLE_TUPLE:
        pg_pool_request_deliver_row(request, result);
        PQclear(result);
        break;
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

/* ---- events ------------------------------------------------------------ */

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
    connection *conn = arg;
    int nothing = 0;

    (void)fd;
    (void)what;
    if (!PQconsumeInput(conn->pg))
        conn->is_broken = true;
    /* One NULL ends the results of a command; several in a row mean that no more will come. */
    while (conn->in_flight.head != NULL && nothing < 3 && !PQisBusy(conn->pg)) {
        PGresult *result = PQgetResult(conn->pg);

        nothing = result ? 0 : nothing + 1;
        if (result != NULL)
            take_result(conn, result);
        ask_for_rows(conn);
    }
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

void
pg_pool_connection_open(connection *conn, PGconn *pg)
{
    pg_pool *pool = conn->pool;

    conn->pg = pg;
    pool->ready_count++;
    if (!PQenterPipelineMode(pg)) {
        lose_by_error(conn);
        return;
    }
    conn->readable = event_new(pool->base, PQsocket(pg), EV_READ | EV_PERSIST, on_readable, conn);
    conn->writable = event_new(pool->base, PQsocket(pg), EV_WRITE, on_writable, conn);
    event_add(conn->readable, NULL);
    if (pool->is_away)
        pg_pool_connection_report(pool, false, "the database is back");
    pool->is_away = false;
    pool->dispatch(pool);
}
