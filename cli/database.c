/* database.c: the synchronous libpq connection of `ctms`; see database.h. */
#include "cli/database.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include "cli/error_text.h"
#include "cli/output.h"
#include "common/pg_connector.h"

/* How often a statement is tried that meets a deadlock or a serialisation failure. */
#define CONFLICT_TRIES 5

#define CONNECT_TIMEOUT_S "10"
#define STATEMENT_TIMEOUT_S 60

/* The connection whose statement SIGINT cancels. A signal handler may call PQcancel(). */
static PGcancel *volatile cancel_handle;
static volatile sig_atomic_t is_waiting; /* a statement is running */
static volatile sig_atomic_t is_interrupted;
static volatile sig_atomic_t is_watched; /* somebody asks database_was_interrupted() */
static bool is_late; /* the statement had come to its end before it could be cancelled */

static void
end_by(int signal_number)
{
    output_drop_private();
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static void
cancel_statement(int signal_number)
{
    char message[256];

    if (is_waiting && cancel_handle) {
        is_interrupted = 1;
        PQcancel(cancel_handle, message, sizeof(message));
        return;
    }
    is_interrupted = is_watched;
    if (!is_watched)
        end_by(signal_number);
}

/* Nothing more begins after an interrupt that came too late for the last statement: a loop over
 * many short ones would never end. What that one has done is reported before. */
static void
begin_waiting(void)
{
    if (is_late && !is_watched) {
        fflush(stdout);
        end_by(SIGINT);
    }
    is_waiting = 1;
}

static void
end_waiting(const PGresult *result)
{
    is_waiting = 0;
    is_late = is_interrupted && database_is_ok(result);
}

/*
 * A notice may have several lines. A commit that was cancelled while it waited for a standby is
 * only a warning to the server, but nobody may take it for done. The text is translated, so we know
 * it by the function that it comes from.
 */
static void
take_notice(void *arg, const PGresult *notice)
{
    struct cli *cli = arg;
    const char *function = PQresultErrorField(notice, PG_DIAG_SOURCE_FUNCTION);

    fputs("ctms: ", stderr);
    error_text_print_lines(stderr, PQresultErrorMessage(notice));
    if (function && strcmp(function, "SyncRepWaitForLSN") == 0)
        cli->status = CLI_UNAVAILABLE;
}

static void
print_hint(const char *hint)
{
    fputs("  hint: ", stderr);
    output_text(stderr, hint);
    fputc('\n', stderr);
}

/* Prints the first line of libpq's message, without a repeated "connection to ... failed:". */
static void
report_connection(struct cli *cli)
{
    const char *message = PQerrorMessage(cli->db);
    const char *role = PQuser(cli->db);
    const char *host = PQhost(cli->db);
    char *advice =
        role ? error_text_advise_login(message, role, host && (*host == '/' || *host == '@'))
             : NULL;

    output_error(cli, CLI_UNAVAILABLE, "could not connect to the database: %.*s",
                 (int)strcspn(message, "\n"), message);
    if (strstr(message, PG_CONNECTOR_REFUSED_PARAMETER) != NULL)
        print_hint(PG_CONNECTOR_PARAMETER_ADVICE);
    else if (advice)
        print_hint(advice);
    free(advice);
}

/* Parameters are addresses, which do not belong into the server's log: docs/security.md. */
static bool
set_limits(struct cli *cli)
{
    char timeout[32];
    int timeout_s = cli->timeout_s;
    const char *parameters[] = {timeout};
    PGresult *result;

    if (timeout_s < 0)
        timeout_s = cli->command->timeout_s ? cli->command->timeout_s : STATEMENT_TIMEOUT_S;
    snprintf(timeout, sizeof(timeout), "%ds", timeout_s);
    result = database_query(
        cli,
        "SELECT CASE WHEN pg_catalog.has_parameter_privilege('log_parameter_max_length', 'SET')"
        " THEN pg_catalog.set_config('log_parameter_max_length', '0', false) END, "
        "pg_catalog.set_config('log_parameter_max_length_on_error', '0', false), "
        "pg_catalog.set_config('statement_timeout', $1, false), "
        "pg_catalog.set_config('idle_in_transaction_session_timeout', '10min', false), "
        "pg_catalog.set_config('timezone', 'UTC', false), "
        "pg_catalog.set_config('datestyle', 'ISO', false), "
        "pg_catalog.set_config('standard_conforming_strings', 'on', false)",
        1, parameters);
    PQclear(result);
    return result != NULL;
}

bool
database_open(struct cli *cli, const char *url)
{
    /* Later entries win, so the URL can set another time limit, but not another encoding. */
    static const char *const names[] = {"connect_timeout", "fallback_application_name", "dbname",
                                        "client_encoding", NULL};
    const char *const values[] = {CONNECT_TIMEOUT_S, "ctms", url, "UTF8", NULL};
    struct sigaction action = {.sa_handler = cancel_statement, .sa_flags = SA_RESTART};

    cli->db = PQconnectdbParams(names, values, 1);
    if (PQstatus(cli->db) != CONNECTION_OK) {
        report_connection(cli);
        return false;
    }
    PQsetNoticeReceiver(cli->db, take_notice, cli);
    cancel_handle = PQgetCancel(cli->db);
    sigaction(SIGINT, &action, NULL);
    return set_limits(cli);
}

void
database_close(struct cli *cli)
{
    PGcancel *handle = cancel_handle;

    signal(SIGINT, SIG_DFL);
    cancel_handle = NULL;
    PQfreeCancel(handle);
    PQfinish(cli->db);
    cli->db = NULL;
}

bool
database_is_ok(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);

    return status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK;
}

bool
database_is_state(const PGresult *result, const char *state)
{
    const char *actual = PQresultErrorField(result, PG_DIAG_SQLSTATE);

    return actual && strcmp(actual, state) == 0;
}

bool
database_was_interrupted(void)
{
    return is_interrupted;
}

void
database_watch_interrupts(bool is_watching)
{
    is_watched = is_watching;
}

static bool
is_class(const char *state, const char *classes)
{
    char class[3] = {state[0], state[0] ? state[1] : '\0', '\0'};

    return strstr(classes, class) != NULL;
}

static enum cli_exit
exit_code(const char *state)
{
    if (!state || is_class(state, "08 53 57"))
        return CLI_UNAVAILABLE;
    if (strcmp(state, "CT404") == 0)
        return CLI_NOT_FOUND;
    if (strcmp(state, "CT409") == 0 || strcmp(state, "23505") == 0)
        return CLI_EXISTS;
    return CLI_FAILED;
}

/*
 * A missing or older extension causes several different errors; this gives a hint for them. What is
 * missing for a privilege may be known already, by a detail of the server. Valid until the next
 * call.
 */
static const char *
hint_for(const struct cli *cli, const char *state, const char *detail)
{
    static char grant[256];

    if (state &&
        (strcmp(state, "3F000") == 0 || strcmp(state, "42P01") == 0 || strcmp(state, "42883") == 0))
        return "Is this the right database, and does it have the extension (CREATE EXTENSION "
               "ctms), as "
               "new as this program? See: ctms doctor";
    if (state && strcmp(state, "42501") == 0 && !detail) {
        const char *group = cli->command->is_for_reader ? "ctms_reader" : "ctms_admin";
        buf role = BUF_INIT;

        error_text_append_role(&role, PQuser(cli->db));
        snprintf(grant, sizeof(grant),
                 "Connect as a member of the role %s. As a superuser: GRANT %s TO %s", group, group,
                 buf_text(&role));
        buf_free(&role);
        return grant;
    }
    if (state && strcmp(state, "55P03") == 0)
        return "Another transaction holds a lock and has not ended. Try again, or look for it in "
               "pg_stat_activity.";
    if (state && (strcmp(state, "26000") == 0 || strcmp(state, "42P05") == 0))
        return "A pooler does not keep sessions. PgBouncer: " PG_CONNECTOR_POOLER_ADVICE;
    if (state && strcmp(state, "25006") == 0)
        return "A query may only read. Other commands need the primary, and a session that may "
               "write (default_transaction_read_only).";
    return NULL;
}

void
database_report(struct cli *cli, const PGresult *result, const char *hint)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);

    /* If there is no message of the server, the connection was lost. */
    if (!message)
        message = PQresultErrorMessage(result);
    if (!message || !*message)
        message = PQerrorMessage(cli->db);
    output_error(cli, exit_code(state), "%.*s%s%s%s", (int)strcspn(message, "\n"), message,
                 state ? " (" : "", state ? state : "", state ? ")" : "");
    if (detail)
        error_text_print_detail(stderr, detail);
    /* The server's hint for a function that is not there is about casts. */
    if (!hint && !(state && strcmp(state, "42883") == 0))
        hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT);
    if (!hint)
        hint = hint_for(cli, state, detail);
    if (hint)
        print_hint(hint);
}

PGresult *
database_try_query(struct cli *cli, const char *sql, int count, const char *const *parameters)
{
    PGresult *result;

    begin_waiting();
    result = PQexecParams(cli->db, sql, count, NULL, parameters, NULL, NULL, 0);
    end_waiting(result);
    return result;
}

PGresult *
database_retry_query(struct cli *cli, const char *sql, int count, const char *const *parameters)
{
    for (int tries = 1;; tries++) {
        PGresult *result = database_try_query(cli, sql, count, parameters);

        if (tries == CONFLICT_TRIES ||
            !(database_is_state(result, "40001") || database_is_state(result, "40P01")))
            return result;
        PQclear(result);
    }
}

/* Returns a result that is no error; reports and clears one that is. */
static PGresult *
report_error(struct cli *cli, PGresult *result)
{
    if (database_is_ok(result))
        return result;
    database_report(cli, result, NULL);
    PQclear(result);
    return NULL;
}

PGresult *
database_query(struct cli *cli, const char *sql, int count, const char *const *parameters)
{
    return report_error(cli, database_try_query(cli, sql, count, parameters));
}

PGresult *
database_query_again(struct cli *cli, const char *sql, int count, const char *const *parameters)
{
    return report_error(cli, database_retry_query(cli, sql, count, parameters));
}

PGresult *
database_describe(struct cli *cli, const char *sql)
{
    PGresult *result;

    begin_waiting();
    result = PQprepare(cli->db, "", sql, 0, NULL);
    if (database_is_ok(result)) {
        PQclear(result);
        result = PQdescribePrepared(cli->db, "");
    }
    end_waiting(result);
    return result;
}

bool
database_run_statement(struct cli *cli, const char *sql)
{
    PGresult *result = database_query(cli, sql, 0, NULL);

    PQclear(result);
    return result != NULL;
}

bool
database_run_script(struct cli *cli, const char *statements)
{
    PGresult *result;
    bool is_ok;

    begin_waiting();
    result = PQexec(cli->db, statements);
    end_waiting(result);
    is_ok = database_is_ok(result);
    if (!is_ok)
        database_report(cli, result, NULL);
    PQclear(result);
    return is_ok;
}

bool
database_query_number(struct cli *cli, const char *sql, long long *value)
{
    PGresult *result = database_query(cli, sql, 0, NULL);

    if (!result)
        return false;
    *value = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    PQclear(result);
    return true;
}

int
database_print_rows(struct cli *cli, const char *sql, const char *json_sql, int count,
                    const char *const *parameters)
{
    PGresult *result = database_query(cli, cli->is_json ? json_sql : sql, count, parameters);

    if (result && cli->is_json)
        output_json(PQgetvalue(result, 0, 0));
    else if (result)
        output_table(stdout, result);
    PQclear(result);
    return cli->status;
}

bool
database_copy_to_file(struct cli *cli, const char *sql, FILE *file)
{
    PGresult *result = PQexec(cli->db, sql);
    bool is_ok = PQresultStatus(result) == PGRES_COPY_OUT;
    char *row = NULL;
    int length;

    if (!is_ok)
        database_report(cli, result, NULL);
    PQclear(result);
    while (is_ok && (length = PQgetCopyData(cli->db, &row, 0)) > 0) {
        fwrite(row, 1, (size_t)length, file);
        PQfreemem(row);
    }
    while ((result = PQgetResult(cli->db)) != NULL) {
        if (is_ok && !database_is_ok(result)) {
            database_report(cli, result, NULL);
            is_ok = false;
        }
        PQclear(result);
    }
    return is_ok;
}
