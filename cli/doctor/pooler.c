/*
 * doctor/pooler.c: what stands between the programs and the database, and whether it does what they
 * rely on: prepared statements and notifications; see doctor.h.
 *
 * A pooler gives its clients keys of its own for cancelling, so the process id that libpq knows is
 * not that of the server. It gives one server connection to several clients, a transaction at a
 * time, if a second client is given that of a first one which is still there.
 */
#include "cli/doctor/doctor.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "cli/database.h"
#include "common/clock.h"

/* Its name is always the same, so that those that stay behind in a server are few. */
#define STATEMENT "ctms_doctor"
#define CHANNEL "ctms_doctor"
/* A pooler with several servers may give us others. */
#define TRIES 5
#define NOTIFICATION_S 3.0

#define POOLER_ADVICE                                                                              \
    "Set pool_mode = session, or use PgBouncer 1.21 or later with max_prepared_statements > 0."

enum pooling {
    POOLING_UNKNOWN,
    POOLING_STATEMENTS, /* a server for each statement: it has no transactions */
    POOLING_SESSIONS,
    POOLING_TRACKED,   /* one for each transaction; it knows the statements of its clients */
    POOLING_UNTRACKED, /* it does not */
};

/* The process id of the server that answers, or 0; *has_statement: it knows our statement by name.
 */
static int
ask_server(struct doctor *d, PGconn *db, bool *has_statement)
{
    PGresult *result =
        doctor_exec(d, db,
                    "SELECT pg_catalog.pg_backend_pid(), EXISTS (SELECT FROM "
                    "pg_catalog.pg_prepared_statements WHERE name = '" STATEMENT "')");
    int pid = 0;

    if (result && PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1) {
        pid = atoi(PQgetvalue(result, 0, 0));
        *has_statement = *PQgetvalue(result, 0, 1) == 't';
    }
    PQclear(result);
    return pid;
}

/*
 * The first connection prepares a statement, as the programs do; then, in a transaction that keeps
 * its server, the second one looks whether it has that server and that statement. Before 1.21,
 * PgBouncer hands the name on as it is.
 */
static enum pooling
try_once(struct doctor *d, PGconn *first, PGconn *second)
{
    bool is_known = false;
    bool has_statement = false;
    bool is_refused;
    PGresult *result;
    int first_pid;
    int second_pid;

    result = doctor_exec(d, first, "BEGIN");
    is_refused = result && !database_is_ok(result);
    PQclear(result);
    if (is_refused)
        return POOLING_STATEMENTS;
    result = doctor_prepare(d, first, STATEMENT, "SELECT 1");
    is_known = result && database_is_state(result, "42P05");
    PQclear(result);
    first_pid = is_known ? 0 : ask_server(d, first, &has_statement);
    PQclear(doctor_exec(d, first, "COMMIT"));
    if (is_known)
        return POOLING_UNTRACKED;

    has_statement = false;
    PQclear(doctor_exec(d, second, "BEGIN"));
    second_pid = ask_server(d, second, &has_statement);
    if (has_statement)
        PQclear(doctor_exec(d, second, "DEALLOCATE " STATEMENT));
    PQclear(doctor_exec(d, second, "COMMIT"));
    if (has_statement)
        return POOLING_UNTRACKED;
    if (first_pid == 0 || second_pid == 0)
        return POOLING_UNKNOWN;
    return first_pid == second_pid ? POOLING_TRACKED : POOLING_SESSIONS;
}

static enum pooling
find_pooling(struct doctor *d, int program, const char *url, char *problem, size_t size)
{
    enum pooling found = POOLING_UNKNOWN;
    PGconn *second = doctor_connect(d, program, url, problem, size);

    for (int i = 0; second && i < TRIES; i++) {
        PGconn *first = doctor_connect(d, program, url, problem, size);

        found = first ? try_once(d, first, second) : POOLING_UNKNOWN;
        if (first && found == POOLING_UNKNOWN)
            snprintf(problem, size, "no two connections were answered in time");
        PQfinish(first);
        if (found != POOLING_SESSIONS)
            break;
    }
    PQfinish(second);
    return found;
}

static void
judge_pooler(struct doctor *d, int program, const char *url)
{
    const char *name = doctor_program_names[program];
    char problem[512] = "";
    enum pooling found = find_pooling(d, program, url, problem, sizeof(problem));

    d->shares_sessions[program] = found != POOLING_SESSIONS;
    switch (found) {
    case POOLING_UNKNOWN:
        doctor_warn(d, "A pooler needs a connection for each client that it serves at once.",
                    "%s: there is a pooler; its mode is not known: %s", name, problem);
        return;
    case POOLING_STATEMENTS:
        doctor_fail(d, "Set pool_mode = session or transaction.",
                    "%s: a pooler refuses transactions", name);
        return;
    case POOLING_SESSIONS: doctor_ok(d, "%s: a pooler, which keeps sessions apart", name); return;
    case POOLING_TRACKED:
        doctor_ok(d, "%s: a pooler, which keeps prepared statements of clients", name);
        return;
    case POOLING_UNTRACKED:
        doctor_warn(d, POOLER_ADVICE,
                    "%s: a pooler loses prepared statements: requests are parsed anew", name);
        return;
    }
}

/* Behind a pooler, programs do not set it for sessions that are not theirs alone. */
static void
check_isolation(struct doctor *d, int program)
{
    PGconn *db = d->db[program];
    PGresult *result =
        doctor_try_query(d, db, "SELECT current_setting('default_transaction_isolation')");

    if (result && PQresultStatus(result) == PGRES_TUPLES_OK &&
        strcmp(PQgetvalue(result, 0, 0), "read committed") != 0)
        doctor_warn(d, "ALTER ROLE … SET default_transaction_isolation = 'read committed'.",
                    "%s: transactions through the pooler are %s", doctor_program_names[program],
                    PQgetvalue(result, 0, 0));
    PQclear(result);
}

void
doctor_check_pooler(struct doctor *d)
{
    for (int program = 0; program < DOCTOR_PROGRAMS; program++) {
        PGconn *db = d->db[program];
        bool has_statement;
        int pid;

        if (!doctor_is_distinct(d, program))
            continue;
        doctor_begin(d);
        pid = ask_server(d, db, &has_statement);
        if (pid == 0) {
            doctor_warn(d, "Try again.", "%s: no answer in time", doctor_program_names[program]);
            doctor_drop(d, db);
        } else if (pid == PQbackendPID(db)) {
            doctor_ok(d, "%s: none, the connection is direct", doctor_program_names[program]);
        } else {
            check_isolation(d, program);
            judge_pooler(d, program, doctor_url(d, program));
        }
    }
}

/* ---- notifications --------------------------------------------------------------------------- */

static bool
has_notification(PGconn *db, const char *token)
{
    bool is_found = false;
    PGnotify *notify;

    while ((notify = PQnotifies(db)) != NULL) {
        is_found |= strcmp(notify->relname, CHANNEL) == 0 && strcmp(notify->extra, token) == 0;
        PQfreemem(notify);
    }
    return is_found;
}

static bool
wait_for_notification(struct doctor *d, PGconn *db, const char *token)
{
    double left_s = doctor_time_left(d);
    double until_s = clock_now_s() + (left_s < NOTIFICATION_S ? left_s : NOTIFICATION_S);
    struct pollfd socket = {.fd = PQsocket(db), .events = POLLIN};

    while (PQconsumeInput(db)) {
        double wait_s = until_s - clock_now_s();

        if (has_notification(db, token))
            return true;
        if (wait_s <= 0 || (poll(&socket, 1, (int)(wait_s * 1000) + 1) < 0 && errno != EINTR))
            return false;
    }
    return false;
}

/* Notifies over the other connection, as another client's change does. */
static bool
is_heard(struct doctor *d, PGconn *listener, PGconn *other, char *problem, size_t size)
{
    unsigned long long random = 0;
    char token[24];
    char sql[96];
    PGresult *result = doctor_exec(d, listener, "LISTEN " CHANNEL);
    bool is_sent = result && database_is_ok(result);

    if (getrandom(&random, sizeof(random), 0) < 0)
        random = (unsigned long long)clock_now_s();
    snprintf(token, sizeof(token), "%016llx", random);
    snprintf(sql, sizeof(sql), "SELECT pg_notify('" CHANNEL "', '%s')", token);
    if (!is_sent)
        snprintf(problem, size, "%s", doctor_problem(result, listener));
    PQclear(result);
    if (!is_sent)
        return false;
    result = doctor_try_query(d, other, sql);
    is_sent = result && database_is_ok(result);
    if (!is_sent)
        snprintf(problem, size, "%s", doctor_problem(result, other));
    PQclear(result);
    return is_sent && wait_for_notification(d, listener, token);
}

static void
check_listener(struct doctor *d, int program)
{
    const char *name = doctor_program_names[program];
    const char *listen_url = config_string(d->settings[program], "CTMS_LISTEN_DB_URL");
    const char *setting = listen_url ? "CTMS_LISTEN_DB_URL" : "CTMS_DB_URL";
    char problem[512] = "";
    PGconn *listener = doctor_connect(d, program, listen_url ? listen_url : doctor_url(d, program),
                                      problem, sizeof(problem));

    if (listener && is_heard(d, listener, d->db[program], problem, sizeof(problem))) {
        doctor_ok(d, "%s: notifications arrive through %s", name, setting);
        /* It may have been another client's server. */
        PQclear(doctor_exec(d, listener, "UNLISTEN " CHANNEL));
    } else if (*problem) {
        doctor_fail(d, "Name a direct connection to the primary in CTMS_LISTEN_DB_URL.",
                    "%s: %s: %s", name, setting, problem);
    } else {
        doctor_warn(d,
                    "Name a direct connection to the same database in CTMS_LISTEN_DB_URL: until "
                    "then, changes are noticed late.",
                    "%s: a notification did not arrive through %s", name, setting);
    }
    PQfinish(listener);
}

void
doctor_check_listen(struct doctor *d)
{
    bool has_server = d->db[DOCTOR_REST] || d->db[DOCTOR_AGENT];
    const char *before = NULL;

    if (d->is_replica) {
        doctor_skip(d, "not checked: needs the primary, a replica has no LISTEN");
        return;
    }
    for (int program = 0; program < DOCTOR_PROGRAMS; program++) {
        const char *url =
            d->settings[program] ? config_string(d->settings[program], "CTMS_LISTEN_DB_URL") : NULL;

        if (!d->db[program] || !d->settings[program] || (program == DOCTOR_CLI && has_server))
            continue;
        /* The agent as REST, if both go the same way. */
        if (program == DOCTOR_AGENT && d->db[DOCTOR_AGENT] == d->db[DOCTOR_REST] &&
            strcmp(url ? url : "", before ? before : "") == 0)
            continue;
        before = url;
        doctor_begin(d);
        check_listener(d, program);
    }
}
