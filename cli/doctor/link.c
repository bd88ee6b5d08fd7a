/*
 * doctor/link.c: connections and queries that end in time; see doctor.h.
 *
 * libpq looks up names of hosts without any time limit, and so may libcurl. So what connects runs
 * in a thread, which is left behind when it takes too long.
 */
#include "cli/doctor/doctor.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "cli/database.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/db_url.h"

/* How much sooner the server ends a statement than we stop waiting for it. */
#define MARGIN_S 0.2

void
doctor_begin(struct doctor *d)
{
    d->deadline_s = clock_now_s() + d->limit_s;
}

double
doctor_time_left(const struct doctor *d)
{
    double left_s = d->deadline_s - clock_now_s();

    return left_s > 0 ? left_s : 0;
}

/* ---- threads ------------------------------------------------------------------------ */

/* Freed by the one of the two that sees it last. */
struct run {
    pthread_mutex_t lock;
    pthread_cond_t has_ended_now;
    bool has_ended;
    bool is_left;
    void (*work)(void *job);
    void *job;
};

static void
free_run(struct run *run)
{
    pthread_cond_destroy(&run->has_ended_now);
    pthread_mutex_destroy(&run->lock);
    free(run);
}

static void *
run_work(void *arg)
{
    struct run *run = arg;
    bool is_left;

    run->work(run->job);
    pthread_mutex_lock(&run->lock);
    run->has_ended = true;
    is_left = run->is_left;
    pthread_cond_signal(&run->has_ended_now);
    pthread_mutex_unlock(&run->lock);
    if (is_left)
        free_run(run);
    return NULL;
}

static bool
wait_for(struct run *run, double left_s)
{
    struct timespec until;
    int error = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)left_s;
    until.tv_nsec += (long)((left_s - (double)(time_t)left_s) * 1e9);
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_mutex_lock(&run->lock);
    while (!run->has_ended && error == 0)
        error = pthread_cond_timedwait(&run->has_ended_now, &run->lock, &until);
    run->is_left = !run->has_ended;
    pthread_mutex_unlock(&run->lock);
    return !run->is_left;
}

bool
doctor_run(struct doctor *d, void (*work)(void *job), void *job)
{
    struct run *run = xcalloc(1, sizeof(*run));
    pthread_condattr_t attributes;
    pthread_t thread;

    run->work = work;
    run->job = job;
    pthread_mutex_init(&run->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&run->has_ended_now, &attributes);
    pthread_condattr_destroy(&attributes);
    if (pthread_create(&thread, NULL, run_work, run) != 0) {
        work(job);
        free_run(run);
        return true;
    }
    if (!wait_for(run, doctor_time_left(d))) {
        pthread_detach(thread);
        d->has_left = true;
        return false;
    }
    pthread_join(thread, NULL);
    free_run(run);
    return true;
}

/* ---- connections -------------------------------------------------------------------- */

const char *
doctor_url(const struct doctor *d, int program)
{
    if (program == DOCTOR_CLI && d->cli->db_url)
        return d->cli->db_url;
    return d->settings[program] ? config_string(d->settings[program], "CTMS_DB_URL") : NULL;
}

bool
doctor_is_same_login(const struct doctor *d, int program, int other)
{
    const char *url = doctor_url(d, program);
    const char *other_url = doctor_url(d, other);

    return url && other_url && strcmp(url, other_url) == 0 &&
           d->user[program].uid == d->user[other].uid;
}

struct attempt {
    struct doctor_user user;
    char *url;
    char limit_s[24];
    PGconn *db;
};

static void
ignore_notice(void *unused, const char *message)
{
    (void)unused;
    (void)message;
}

static void
finish_connecting(PGconn *db, double until_s)
{
    PostgresPollingStatusType next = PGRES_POLLING_WRITING;

    while (PQstatus(db) != CONNECTION_BAD && next != PGRES_POLLING_OK &&
           next != PGRES_POLLING_FAILED) {
        struct pollfd socket = {.fd = PQsocket(db),
                                .events = next == PGRES_POLLING_READING ? POLLIN : POLLOUT};
        double left_s = until_s - clock_now_s();
        int ready = poll(&socket, 1, left_s > 0 ? (int)(left_s * 1000) + 1 : 0);

        if (ready == 0 || (ready < 0 && errno != EINTR))
            return;
        if (ready > 0)
            next = PQconnectPoll(db);
    }
}

/* Of this thread alone, which the functions of libc cannot do. */
static bool
become(uid_t uid, gid_t gid)
{
    return syscall(SYS_setresgid, -1, gid, -1) == 0 && syscall(SYS_setresuid, -1, uid, -1) == 0;
}

static void
attempt_connect(struct attempt *attempt)
{
    static const char *const names[] = {"connect_timeout", "fallback_application_name", "dbname",
                                        "client_encoding", NULL};
    const char *const values[] = {attempt->limit_s, "ctms", attempt->url, "UTF8", NULL};

    attempt->db = PQconnectStartParams(names, values, 1);
    if (!attempt->db)
        return;
    /* Only then has the message of a refusal its SQLSTATE. */
    PQsetErrorVerbosity(attempt->db, PQERRORS_VERBOSE);
    finish_connecting(attempt->db, clock_now_s() + strtod(attempt->limit_s, NULL));
    PQsetErrorVerbosity(attempt->db, PQERRORS_DEFAULT);
}

static void
attempt_run(void *job)
{
    struct attempt *attempt = job;

    if (!attempt->user.is_other) {
        attempt_connect(attempt);
    } else if (become(attempt->user.uid, attempt->user.gid)) {
        attempt_connect(attempt);
        (void)become(getuid(), getgid());
    }
}

/* Where the message has ":  SQLSTATE: ", or null; what is before it may be translated. */
static const char *
find_state(const char *message)
{
    while ((message = strstr(message, ":  ")) != NULL) {
        message += 3;
        if (strspn(message, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 5 &&
            strncmp(message + 5, ": ", 2) == 0)
            return message;
    }
    return NULL;
}

/* Takes the line of the message that has an SQLSTATE, without it, or else the first one. */
static void
keep_problem(struct doctor *d, const char *message, char *problem, size_t size)
{
    const char *state = find_state(message);
    const char *line = message;

    if (!state) {
        snprintf(problem, size, "%.*s", (int)strcspn(message, "\n"), message);
        return;
    }
    memcpy(d->connect_state, state, 5);
    for (const char *c = message; c < state; c++)
        line = *c == '\n' ? c + 1 : line;
    snprintf(problem, size, "%.*s%.*s", (int)(state - line), line, (int)strcspn(state + 7, "\n"),
             state + 7);
}

PGconn *
doctor_connect(struct doctor *d, int program, const char *url, char *problem, size_t size)
{
    const char *unreadable = db_url_problem(url);
    struct attempt *attempt;
    PGconn *db;

    memset(d->connect_state, 0, sizeof(d->connect_state));
    if (unreadable) {
        snprintf(problem, size, "the URL %s", unreadable);
        return NULL;
    }
    attempt = xcalloc(1, sizeof(*attempt));
    attempt->user = d->user[program];
    attempt->url = xstrdup(url);
    snprintf(attempt->limit_s, sizeof(attempt->limit_s), "%.0f", d->limit_s + 1);
    if (!doctor_run(d, attempt_run, attempt)) {
        snprintf(problem, size, "no answer within %.15g s", d->limit_s);
        return NULL;
    }
    db = attempt->db;
    free(attempt->url);
    free(attempt);
    if (PQstatus(db) != CONNECTION_OK) {
        keep_problem(d, PQerrorMessage(db), problem, size);
        PQfinish(db);
        return NULL;
    }
    PQsetNoticeProcessor(db, ignore_notice, NULL);
    return db;
}

void
doctor_drop(struct doctor *d, PGconn *db)
{
    for (int i = 0; i < DOCTOR_PROGRAMS; i++) {
        if (d->db[i] == db)
            d->db[i] = NULL;
    }
    PQfinish(db);
}

PGconn *
doctor_db(const struct doctor *d)
{
    for (int i = 0; i < DOCTOR_PROGRAMS; i++) {
        if (d->db[i])
            return d->db[i];
    }
    return NULL;
}

bool
doctor_is_distinct(const struct doctor *d, int program)
{
    for (int i = 0; i < program; i++) {
        if (d->db[i] == d->db[program])
            return false;
    }
    return d->db[program] != NULL;
}

/* ---- queries --------------------------------------------------------------------------- */

/* Waits until PQgetResult() has something, or the deadline. */
static bool
wait_for_result(struct doctor *d, PGconn *db)
{
    struct pollfd socket = {.fd = PQsocket(db), .events = POLLIN};

    while (PQisBusy(db)) {
        int ready = poll(&socket, 1, (int)(doctor_time_left(d) * 1000));

        if (ready == 0 || (ready < 0 && errno != EINTR))
            return false;
        if (ready > 0 && !PQconsumeInput(db))
            return true; /* PQgetResult() says why */
    }
    return true;
}

/* The results of what was sent; see doctor_exec(). */
static PGresult *
collect_results(struct doctor *d, PGconn *db)
{
    PGresult *best = NULL;
    PGresult *next;

    while (true) {
        if (!wait_for_result(d, db)) {
            PQclear(best);
            return NULL;
        }
        next = PQgetResult(db);
        if (!next)
            return best;
        if (best && (!database_is_ok(best) ||
                     (PQresultStatus(best) == PGRES_TUPLES_OK && database_is_ok(next) &&
                      PQresultStatus(next) != PGRES_TUPLES_OK))) {
            PQclear(next);
            continue;
        }
        PQclear(best);
        best = next;
    }
}

PGresult *
doctor_exec(struct doctor *d, PGconn *db, const char *sql)
{
    return PQsendQuery(db, sql) ? collect_results(d, db) : NULL;
}

PGresult *
doctor_prepare(struct doctor *d, PGconn *db, const char *name, const char *sql)
{
    return PQsendPrepare(db, name, sql, 0, NULL) ? collect_results(d, db) : NULL;
}

PGresult *
doctor_try_query(struct doctor *d, PGconn *db, const char *sql)
{
    double limit_s = doctor_time_left(d) - MARGIN_S;
    buf text = BUF_INIT;
    PGresult *result;

    buf_printf(&text,
               "BEGIN READ ONLY; SET LOCAL statement_timeout = %.0f; "
               "SET LOCAL search_path = pg_catalog, pg_temp; %s; COMMIT",
               limit_s > 0.01 ? limit_s * 1000 : 10, sql);
    result = doctor_exec(d, db, buf_text(&text));
    buf_free(&text);
    if (result && PQtransactionStatus(db) == PQTRANS_INERROR)
        PQclear(doctor_exec(d, db, "ROLLBACK"));
    return result;
}

const char *
doctor_problem(const PGresult *result, const PGconn *db)
{
    const char *message = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;

    if (message)
        return message;
    return PQstatus(db) == CONNECTION_OK ? "no answer in time" : "the connection was lost";
}

PGresult *
doctor_query(struct doctor *d, const char *needs, const char *sql)
{
    PGconn *db = doctor_db(d);
    PGresult *result = doctor_try_query(d, db, sql);

    if (result && PQresultStatus(result) == PGRES_TUPLES_OK)
        return result;
    if (result && database_is_state(result, "42501") && needs)
        doctor_skip(d, "not checked: needs %s", needs);
    else if (result && (database_is_state(result, "3F000") || database_is_state(result, "42P01") ||
                        database_is_state(result, "42883")))
        doctor_skip(d, "not checked: needs the extension, as it is installed by this version");
    else
        doctor_warn(d, "Try again; --timeout SECONDS gives more time.", "could not be checked: %s",
                    doctor_problem(result, db));
    /* What comes from it now would be the answer to this query. */
    if (!result || PQstatus(db) != CONNECTION_OK)
        doctor_drop(d, db);
    PQclear(result);
    return NULL;
}
