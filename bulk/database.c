/* database.c: the connections of a runner; see database.h. */
#include "bulk/database.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/pg_connector.h"
#include "common/pg_session.h"

#define CONNECT_TIMEOUT_S 10.0
/* The server ends a statement after this time; we wait a little longer for it to say so. */
#define STATEMENT_TIMEOUT_S 120.0
#define ANSWER_MARGIN_S 5.0
/* How long a statement is repeated before the runner ends; who runs next goes on. */
#define AWAY_MAX_S 120.0
#define BACKOFF_MIN_S 0.1
#define BACKOFF_MAX_S 5.0
/* Of a row of failures these are told: the third, half a second after the first, and each 20th. */
enum { FAILURES_UNTOLD = 2, FAILURES_TOLD_EACH = 20 };
/* A short statement is waited for even if the runner is to stop: what it tells may be the number of
 * a job. */
#define GRACE_S 5.0
enum { SLICE_MS = 200 };

struct bulk_database {
    const char *url;
    bulk_database_events events;
    PGconn *main;
    PGconn *snapshot;
    bool is_busy;
    bool is_quiet;      /* waiting() is not called */
    double grace_end_s; /* until then a statement that was sent is waited for, whatever it says */
    char state[6];      /* SQLSTATE of the last error; empty: none of the server's */
    char message[512];
};

/* ---- waiting ---------------------------------------------------------------------- */

static bool
call_waiting(bulk_database *db)
{
    if (db->is_quiet)
        return true;
    return db->events.waiting(db->events.arg) || (db->is_busy && clock_now_s() < db->grace_end_s);
}

static double
until(double deadline_s)
{
    double left_s = deadline_s - clock_now_s();

    return left_s > 0 ? left_s : 0;
}

/* Waits until the socket is ready; false when it is not to be waited for any longer. */
static bulk_database_result
wait_for_socket(bulk_database *db, PGconn *conn, short events, double deadline_s)
{
    for (;;) {
        struct pollfd socket = {.fd = PQsocket(conn), .events = events};
        double left_s = until(deadline_s);
        int timeout_ms = left_s * 1000 < SLICE_MS ? (int)(left_s * 1000) + 1 : SLICE_MS;
        int ready = poll(&socket, 1, timeout_ms);

        if (ready > 0)
            return BULK_DATABASE_OK;
        if (ready < 0 && errno != EINTR) {
            snprintf(db->message, sizeof(db->message), "poll: %s", strerror(errno));
            return BULK_DATABASE_AWAY;
        }
        if (!call_waiting(db))
            return BULK_DATABASE_STOPPED;
        if (until(deadline_s) == 0) {
            snprintf(db->message, sizeof(db->message), "the database has not answered in time");
            return BULK_DATABASE_AWAY;
        }
    }
}

static bool
pause_for(bulk_database *db, double seconds)
{
    double deadline_s = clock_now_s() + seconds;

    while (until(deadline_s) > 0) {
        double left_s = until(deadline_s);

        poll(NULL, 0, left_s * 1000 < SLICE_MS ? (int)(left_s * 1000) + 1 : SLICE_MS);
        if (!call_waiting(db))
            return false;
    }
    return true;
}

/* ---- statements ------------------------------------------------------------------- */

static bool
is_one_of(const char *state, const char *const *list)
{
    for (; *list != NULL; list++) {
        if (strncmp(state, *list, strlen(*list)) == 0)
            return true;
    }
    return false;
}

static bulk_database_result
judge(bulk_database *db, PGconn *conn, const PGresult *result)
{
    static const char *const away[] = {"08", "53", "57", "58", "25006", "25P03", "55P03", NULL};
    static const char *const conflicts[] = {"40001", "40P01", NULL};
    ExecStatusType status = PQresultStatus(result);
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
        return BULK_DATABASE_OK;
    snprintf(db->state, sizeof(db->state), "%s", state != NULL ? state : "");
    if (state == NULL || message == NULL) {
        pg_connector_error_line(conn, db->message, sizeof(db->message));
        return BULK_DATABASE_AWAY;
    }
    snprintf(db->message, sizeof(db->message), "%.*s (%s)", (int)strcspn(message, "\n"), message,
             state);
    if (is_one_of(state, conflicts))
        return BULK_DATABASE_CONFLICT;
    return is_one_of(state, away) ? BULK_DATABASE_AWAY : BULK_DATABASE_REFUSED;
}

static bulk_database_result
flush(bulk_database *db, PGconn *conn, double deadline_s)
{
    int left;

    while ((left = PQflush(conn)) > 0) {
        bulk_database_result waited = wait_for_socket(db, conn, POLLIN | POLLOUT, deadline_s);

        if (waited != BULK_DATABASE_OK)
            return waited;
        if (PQconsumeInput(conn) == 0)
            break;
    }
    if (left == 0)
        return BULK_DATABASE_OK;
    pg_connector_error_line(conn, db->message, sizeof(db->message));
    return BULK_DATABASE_AWAY;
}

/* Null after the last result of the statement. */
static bulk_database_result
next_result(bulk_database *db, PGconn *conn, double deadline_s, PGresult **result)
{
    bulk_database_result outcome = BULK_DATABASE_OK;

    while (outcome == BULK_DATABASE_OK && PQisBusy(conn)) {
        outcome = wait_for_socket(db, conn, POLLIN, deadline_s);
        if (outcome == BULK_DATABASE_OK)
            PQconsumeInput(conn);
    }
    *result = outcome == BULK_DATABASE_OK ? PQgetResult(conn) : NULL;
    return outcome;
}

/* Takes the one result of a statement that was sent. */
static bulk_database_result
receive(bulk_database *db, PGconn *conn, double deadline_s, PGresult **result)
{
    PGresult *first = NULL, *next;
    bulk_database_result outcome = flush(db, conn, deadline_s);

    while (outcome == BULK_DATABASE_OK) {
        outcome = next_result(db, conn, deadline_s, &next);
        if (next == NULL)
            break;
        if (first == NULL)
            first = next;
        else
            PQclear(next);
    }
    if (outcome == BULK_DATABASE_OK)
        outcome = judge(db, conn, first);
    if (outcome == BULK_DATABASE_OK)
        *result = first;
    else
        PQclear(first);
    return outcome;
}

static bulk_database_result
run(bulk_database *db, PGconn *conn, double limit_s, const char *sql, int count,
    const char *const *parameters, PGresult **result)
{
    if (!PQsendQueryParams(conn, sql, count, NULL, parameters, NULL, NULL, 0)) {
        pg_connector_error_line(conn, db->message, sizeof(db->message));
        return BULK_DATABASE_AWAY;
    }
    return receive(db, conn, clock_now_s() + limit_s, result);
}

/* ---- connecting ------------------------------------------------------------------- */

static void
ignore_notice(void *arg, const PGresult *notice)
{
    (void)arg;
    (void)notice;
}

static PGconn *
start_connecting(const char *url)
{
    /* Later entries win, so the URL can change all but the encoding. */
    static const char *const names[] = {
        "fallback_application_name", "keepalives_idle", "keepalives_interval", "keepalives_count",
        "tcp_user_timeout",          "dbname",          "client_encoding",     NULL};
    const char *const values[] = {"ctms-bulk", "15", "5", "3", "5000", url, "UTF8", NULL};

    return PQconnectStartParams(names, values, 1);
}

static bulk_database_result
finish_connecting(bulk_database *db, PGconn *conn)
{
    double deadline_s = clock_now_s() + CONNECT_TIMEOUT_S;
    PostgresPollingStatusType status = PGRES_POLLING_WRITING;

    if (conn == NULL || PQstatus(conn) == CONNECTION_BAD)
        status = PGRES_POLLING_FAILED;
    while (status != PGRES_POLLING_OK && status != PGRES_POLLING_FAILED) {
        short events = status == PGRES_POLLING_READING ? POLLIN : POLLOUT;
        bulk_database_result waited = wait_for_socket(db, conn, events, deadline_s);

        if (waited != BULK_DATABASE_OK)
            return waited;
        status = PQconnectPoll(conn);
    }
    if (status == PGRES_POLLING_OK)
        return BULK_DATABASE_OK;
    pg_connector_error_line(conn, db->message, sizeof(db->message));
    return BULK_DATABASE_AWAY;
}

static bulk_database_result
set_up(bulk_database *db, PGconn *conn)
{
    pg_session_values values;
    PGresult *result = NULL;
    bulk_database_result outcome;

    PQsetnonblocking(conn, 1);
    PQsetNoticeReceiver(conn, ignore_notice, NULL);
    pg_session_fill(&values, conn, STATEMENT_TIMEOUT_S);
    outcome = run(db, conn, CONNECT_TIMEOUT_S, pg_session_set_up.sql, PG_SESSION_PARAMETERS,
                  values.values, &result);
    PQclear(result);
    return outcome;
}

static bulk_database_result
open_connection(bulk_database *db, PGconn **conn)
{
    bulk_database_result outcome;

    if (*conn != NULL)
        return BULK_DATABASE_OK;
    *conn = start_connecting(db->url);
    outcome = finish_connecting(db, *conn);
    if (outcome == BULK_DATABASE_OK)
        outcome = set_up(db, *conn);
    if (outcome != BULK_DATABASE_OK) {
        PQfinish(*conn);
        *conn = NULL;
    }
    return outcome;
}

/* ---- short statements ------------------------------------------------------------- */

static void
drop_if_useless(PGconn **conn, bulk_database_result outcome)
{
    bool is_useless = outcome == BULK_DATABASE_STOPPED || outcome == BULK_DATABASE_AWAY;

    if (*conn == NULL || !(is_useless || PQstatus(*conn) != CONNECTION_OK))
        return;
    PQfinish(*conn);
    *conn = NULL;
}

static bulk_database_result
run_once(bulk_database *db, double limit_s, const char *sql, int count,
         const char *const *parameters, PGresult **result)
{
    bulk_database_result outcome;

    db->is_busy = true;
    db->grace_end_s = clock_now_s() + GRACE_S;
    outcome = open_connection(db, &db->main);
    if (outcome == BULK_DATABASE_OK)
        outcome = run(db, db->main, limit_s, sql, count, parameters, result);
    drop_if_useless(&db->main, outcome);
    db->is_busy = false;
    return outcome;
}

bulk_database_result
bulk_database_query(bulk_database *db, const char *sql, int count, const char *const *parameters,
                    PGresult **result)
{
    double deadline_s = clock_now_s() + AWAY_MAX_S;

    for (int failures = 0;; failures++) {
        bulk_database_result outcome =
            run_once(db, STATEMENT_TIMEOUT_S + ANSWER_MARGIN_S, sql, count, parameters, result);

        if (outcome != BULK_DATABASE_AWAY && outcome != BULK_DATABASE_CONFLICT)
            return outcome;
        if (until(deadline_s) == 0)
            return BULK_DATABASE_AWAY;
        if (failures % FAILURES_TOLD_EACH == FAILURES_UNTOLD)
            db->events.failing(db->events.arg);
        if (!pause_for(db, clock_backoff_s(BACKOFF_MIN_S, BACKOFF_MAX_S, failures)))
            return BULK_DATABASE_STOPPED;
    }
}

bulk_database_result
bulk_database_try(bulk_database *db, double limit_s, const char *sql, int count,
                  const char *const *parameters, PGresult **result)
{
    bulk_database_result outcome;

    db->is_quiet = true;
    outcome = run_once(db, limit_s, sql, count, parameters, result);
    db->is_quiet = false;
    return outcome;
}

bool
bulk_database_is_busy(const bulk_database *db)
{
    return db->is_busy;
}

/* ---- the snapshot ----------------------------------------------------------------- */

bulk_database_result
bulk_database_begin_snapshot(bulk_database *db)
{
    PGresult *result = NULL;
    bulk_database_result outcome;

    bulk_database_end_snapshot(db);
    outcome = open_connection(db, &db->snapshot);
    if (outcome == BULK_DATABASE_OK)
        outcome = run(db, db->snapshot, STATEMENT_TIMEOUT_S,
                      "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", 0, NULL, &result);
    PQclear(result);
    if (outcome != BULK_DATABASE_OK)
        bulk_database_end_snapshot(db);
    return outcome;
}

bulk_database_result
bulk_database_send(bulk_database *db, const char *sql, int count, const char *const *parameters)
{
    if (db->snapshot != NULL &&
        PQsendQueryParams(db->snapshot, sql, count, NULL, parameters, NULL, NULL, 0) &&
        PQflush(db->snapshot) >= 0)
        return BULK_DATABASE_OK;
    pg_connector_error_line(db->snapshot, db->message, sizeof(db->message));
    return BULK_DATABASE_AWAY;
}

bulk_database_result
bulk_database_receive(bulk_database *db, PGresult **result)
{
    return receive(db, db->snapshot, clock_now_s() + STATEMENT_TIMEOUT_S + ANSWER_MARGIN_S, result);
}

bulk_database_result
bulk_database_send_for_rows(bulk_database *db, const char *sql, int count,
                            const char *const *parameters)
{
    bulk_database_result outcome = bulk_database_send(db, sql, count, parameters);

    if (outcome == BULK_DATABASE_OK)
        PQsetSingleRowMode(db->snapshot);
    return outcome;
}

bulk_database_result
bulk_database_receive_row(bulk_database *db, PGresult **row)
{
    double deadline_s = clock_now_s() + STATEMENT_TIMEOUT_S + ANSWER_MARGIN_S;
    bulk_database_result outcome = flush(db, db->snapshot, deadline_s);
    PGresult *next = NULL;

    *row = NULL;
    while (outcome == BULK_DATABASE_OK) {
        outcome = next_result(db, db->snapshot, deadline_s, &next);
        if (next == NULL)
            return outcome;
        if (PQresultStatus(next) == PGRES_SINGLE_TUPLE) {
            *row = next;
            return outcome;
        }
        outcome = judge(db, db->snapshot, next);
        PQclear(next);
    }
    return outcome;
}

void
bulk_database_end_snapshot(bulk_database *db)
{
    PQfinish(db->snapshot);
    db->snapshot = NULL;
}

/* ---- the rest --------------------------------------------------------------------- */

const char *
bulk_database_message(const bulk_database *db)
{
    return db->message;
}

const char *
bulk_database_state(const bulk_database *db)
{
    return db->state;
}

bulk_database *
bulk_database_new(const char *url, const bulk_database_events *events)
{
    bulk_database *db = xcalloc(1, sizeof(*db));

    db->url = url;
    db->events = *events;
    return db;
}

void
bulk_database_free(bulk_database *db)
{
    if (db == NULL)
        return;
    PQfinish(db->snapshot);
    PQfinish(db->main);
    free(db);
}
