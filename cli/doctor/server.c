/* doctor/server.c: the machine's clock and the settings of the PostgreSQL server; see doctor.h. */
#include "cli/doctor/doctor.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Tokens and leases are good for at least a minute, and checked with little leeway. */
#define CLOCK_WARNING_S 5.0
#define CLOCK_ERROR_S 60.0
/* Below it, pages of ordinary size cost little. */
#define LARGE_BUFFERS_BYTES 1e9
#define FEW_CONNECTIONS 5

static bool
is_on(const char *value)
{
    return strcmp(value, "on") == 0;
}

static bool
is_yes(const PGresult *result, int column)
{
    return *PQgetvalue(result, 0, column) == 't';
}

/* ---- clock --------------------------------------------------------------------------------- */

static double
now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void
doctor_check_clock(struct doctor *d)
{
    double before_s = now_s();
    PGresult *result = doctor_query(d, NULL, "SELECT extract(epoch FROM clock_timestamp())");
    double after_s = now_s();
    double ahead_s; /* the database's clock, at least */

    if (!result)
        return;
    ahead_s = strtod(PQgetvalue(result, 0, 0), NULL);
    ahead_s = ahead_s < before_s ? ahead_s - before_s : ahead_s > after_s ? ahead_s - after_s : 0;
    if (fabs(ahead_s) > CLOCK_ERROR_S)
        doctor_fail(d,
                    "Synchronise the clocks of both machines (NTP): tokens and leases end by them.",
                    "the database's clock is %.0f s %s this machine's", fabs(ahead_s),
                    ahead_s > 0 ? "ahead of" : "behind");
    else if (fabs(ahead_s) > CLOCK_WARNING_S)
        doctor_warn(d,
                    "Synchronise the clocks of both machines (NTP): tokens and leases end by them.",
                    "the database's clock is %.0f s %s this machine's", fabs(ahead_s),
                    ahead_s > 0 ? "ahead of" : "behind");
    else
        doctor_ok(d, "the same as the database's");
    PQclear(result);
}

/* An agent uses no more, whatever it is allowed, and its process for waves by file these. */
#define AGENT_CONNECTIONS 8
#define BULK_CONNECTIONS 2

/* ---- connections --------------------------------------------------------------------------- */

/* The most that a program opens, a reload aside. */
static long long
count_wanted(const struct doctor *d, int program)
{
    const config *settings = d->settings[program];
    long long each = settings ? config_int(settings, "CTMS_DB_MAX_CONNECTIONS") : 0;

    if (!settings || program == DOCTOR_CLI)
        return 0;
    if (program == DOCTOR_REST)
        return config_int(settings, "CTMS_PROCESSES") * (each + 1);
    return 1 + (each < AGENT_CONNECTIONS ? each : AGENT_CONNECTIONS) +
           (config_string(settings, "CTMS_ACOUSTIC_SFTP_USER") ? BULK_CONNECTIONS : 0);
}

/* The limit of a program's role; what is refused beyond it fills the server's log. */
static void
check_role_limit(struct doctor *d, int program)
{
    long long wanted = count_wanted(d, program);
    PGresult *result = doctor_try_query(d, d->db[program],
                                        "SELECT rolname, rolconnlimit FROM pg_roles WHERE rolname "
                                        "= current_user AND rolconnlimit >= 0 AND NOT rolsuper");

    if (result && PQntuples(result) == 1 && wanted > strtoll(PQgetvalue(result, 0, 1), NULL, 10))
        doctor_warn(d,
                    "Raise the limit (ALTER ROLE … CONNECTION LIMIT), or lower CTMS_PROCESSES or "
                    "CTMS_DB_MAX_CONNECTIONS; or is there a pooler?",
                    "%s: may open %lld connections, its role \"%s\" may have %s",
                    doctor_program_names[program], wanted, PQgetvalue(result, 0, 0),
                    PQgetvalue(result, 0, 1));
    PQclear(result);
}

void
doctor_check_connections(struct doctor *d)
{
    PGresult *result = doctor_query(
        d, NULL,
        "SELECT least(s.most, b.most), least(s.most - s.used, b.most - b.used) FROM "
        "(SELECT current_setting('max_connections')::int "
        "- current_setting('superuser_reserved_connections')::int "
        "- coalesce(current_setting('reserved_connections', true)::int, 0) AS most, "
        "sum(numbackends) AS used FROM pg_stat_database) AS s, "
        "(SELECT nullif(datconnlimit, -1) AS most, pg_stat_get_db_numbackends(oid) AS used "
        "FROM pg_database WHERE datname = current_database()) AS b");
    long long wanted = 0;
    long long most;
    long long left;

    if (!result)
        return;
    most = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    left = strtoll(PQgetvalue(result, 0, 1), NULL, 10);
    for (int program = 0; program < DOCTOR_PROGRAMS; program++)
        wanted += count_wanted(d, program);
    if (wanted > most)
        doctor_warn(
            d,
            "Raise max_connections, or lower CTMS_PROCESSES or CTMS_DB_MAX_CONNECTIONS; or is "
            "there a pooler?",
            "the programs may open %lld connections, the server allows %lld", wanted, most);
    else if (left < FEW_CONNECTIONS)
        doctor_warn(d, "Raise max_connections, or end clients that are not needed.",
                    "%lld of %lld connections are free", left > 0 ? left : 0, most);
    else if (wanted == 0)
        doctor_ok(d, "%lld of %lld are free", left, most);
    else
        doctor_ok(d, "%lld of %lld are free; the programs may open %lld", left, most, wanted);
    PQclear(result);
    for (int program = 0; program < DOCTOR_PROGRAMS; program++) {
        if (d->db[program])
            check_role_limit(d, program);
    }
}

/* ---- settings of the server ---------------------------------------------------------------- */

void
doctor_check_autovacuum(struct doctor *d)
{
    PGresult *result = doctor_query(
        d, NULL,
        "SELECT current_setting('autovacuum'), current_setting('track_counts'), "
        "(SELECT min(c.relname) FROM pg_namespace n JOIN pg_class c ON c.relnamespace = n.oid "
        "WHERE n.nspname = 'ctms' AND c.relkind = 'r' AND EXISTS (SELECT FROM "
        "pg_options_to_table(c.reloptions) o WHERE o.option_name = 'autovacuum_enabled' "
        "AND NOT o.option_value::bool))");

    if (!result)
        return;
    if (!is_on(PQgetvalue(result, 0, 0)) || !is_on(PQgetvalue(result, 0, 1)))
        doctor_fail(d, "Turn on autovacuum and track_counts, and reload: the queue's table grows.",
                    "autovacuum does not run");
    else if (!PQgetisnull(result, 0, 2))
        doctor_warn(d,
                    "ALTER TABLE … RESET (autovacuum_enabled), unless something else vacuums it.",
                    "autovacuum leaves out the table ctms.%s", PQgetvalue(result, 0, 2));
    else
        doctor_ok(d, "on");
    PQclear(result);
}

/* Asks as the program's role. Returns one row; or null, after reporting why. */
static PGresult *
query_as(struct doctor *d, int program, const char *sql)
{
    PGresult *result = doctor_try_query(d, d->db[program], sql);

    if (result && PQresultStatus(result) == PGRES_TUPLES_OK)
        return result;
    doctor_warn(d, "Try again.", "%s: could not be checked: %s", doctor_program_names[program],
                doctor_problem(result, d->db[program]));
    PQclear(result);
    return NULL;
}

/* A role may have it off where the server has it on. */
static void
check_commits(struct doctor *d, int program)
{
    const char *name = doctor_program_names[program];
    PGresult *result = query_as(d, program,
                                "SELECT current_setting('synchronous_commit'), "
                                "current_setting('synchronous_standby_names') = ''");
    const char *value;

    if (!result)
        return;
    value = PQgetvalue(result, 0, 0);
    if (strcmp(value, "off") == 0)
        doctor_warn(d, "Turn it on: after a crash, changes that were answered may be lost.",
                    "%s: synchronous_commit is off", name);
    else if (strcmp(value, "local") == 0 && *PQgetvalue(result, 0, 1) == 'f')
        doctor_warn(d, "Set it to on: after a failover, changes that were answered may be lost.",
                    "%s: synchronous_commit is local: no commit waits for a standby", name);
    PQclear(result);
}

void
doctor_check_durability(struct doctor *d)
{
    PGresult *result = doctor_query(
        d, NULL, "SELECT current_setting('fsync'), current_setting('full_page_writes')");
    int problems = d->counts[DOCTOR_ERROR] + d->counts[DOCTOR_WARNING];

    if (!result)
        return;
    if (!is_on(PQgetvalue(result, 0, 0)))
        doctor_fail(d, "Turn it on: after a crash of the machine, the data may be lost.",
                    "fsync is off");
    else if (!is_on(PQgetvalue(result, 0, 1)))
        doctor_warn(d, "Turn it on, unless the file system writes pages whole.",
                    "full_page_writes is off");
    PQclear(result);
    for (int program = 0; program < DOCTOR_PROGRAMS; program++) {
        if (doctor_is_distinct(d, program))
            check_commits(d, program);
    }
    if (d->counts[DOCTOR_ERROR] + d->counts[DOCTOR_WARNING] == problems)
        doctor_ok(d, "what is committed survives a crash");
}

/* Without an archive dumps are the only backups, which is for the operator to decide. A replica
 * archives only with archive_mode = always. */
#define ARCHIVING_SQL                                                                              \
    "SELECT m.mode, coalesce(c.command, '') IN ('', '(disabled)') AND coalesce(current_setting("   \
    "'archive_library', true), '') = '', coalesce(a.last_failed_time > a.last_archived_time OR "   \
    "a.last_archived_time IS NULL AND a.last_failed_time IS NOT NULL, false), a.failed_count, "    \
    "coalesce(to_char(a.last_archived_time AT TIME ZONE 'UTC', "                                   \
    "'\"since\" YYYY-MM-DD HH24:MI \"UTC\"'), 'so far') "                                          \
    "FROM pg_stat_archiver a, (SELECT current_setting('archive_mode') AS mode) AS m, "             \
    "(SELECT current_setting('archive_command') AS command) AS c"

void
doctor_check_archiving(struct doctor *d)
{
    PGresult *result = doctor_query(d, NULL, ARCHIVING_SQL);
    const char *mode;

    if (!result)
        return;
    mode = PQgetvalue(result, 0, 0);
    if (strcmp(mode, "off") == 0 || (d->is_replica && strcmp(mode, "always") != 0))
        doctor_ok(d, "this server archives no WAL: it can be restored to its dumps only%s",
                  d->is_replica ? ", or its primary archives" : "");
    else if (is_yes(result, 1))
        doctor_warn(d, "Set archive_command, and reload: the WAL is kept until the disk is full.",
                    "archive_mode is on, and there is no archive_command");
    else if (is_yes(result, 2))
        doctor_warn(d,
                    "The server's log says why. Until it is put right, the WAL is kept until the "
                    "disk is full, and nothing newer can be restored. See docs/backup.md.",
                    "archiving fails: no WAL was archived %s (%s failures in all)",
                    PQgetvalue(result, 0, 4), PQgetvalue(result, 0, 3));
    else
        doctor_ok(d, "WAL is archived");
    PQclear(result);
}

/*
 * Whether statements, or their parameters, get into the server's log, as sessions of this role log.
 * Sessions of our programs turn parameters off themselves, if they may; behind a pooler, the next
 * statement may run in another session, where they have not.
 */
#define LOG_SQL                                                                                    \
    "SELECT current_setting('log_statement') IN ('mod', 'all'), "                                  \
    "current_setting('log_statement') IN ('mod', 'all') "                                          \
    "OR s.min_duration <> '-1' OR s.min_sample <> '-1' OR s.transactions::float8 > 0, "            \
    "s.length <> '0', s.length_on_error <> '0', "                                                  \
    "s.plans <> '-1' AND s.plan_length <> '0', "                                                   \
    "has_parameter_privilege('log_parameter_max_length', 'SET') AND NOT EXISTS (SELECT FROM "      \
    "pg_roles r WHERE r.rolname IN ('ctms_api', 'ctms_agent') "                                    \
    "AND NOT has_parameter_privilege(r.oid, 'log_parameter_max_length', 'SET')), "                 \
    "format('ALTER ROLE %I SET log_parameter_max_length = 0', current_user) FROM (SELECT "         \
    "current_setting('log_min_duration_statement') AS min_duration, "                              \
    "current_setting('log_min_duration_sample') AS min_sample, "                                   \
    "current_setting('log_transaction_sample_rate') AS transactions, "                             \
    "current_setting('log_parameter_max_length') AS length, "                                      \
    "current_setting('log_parameter_max_length_on_error') AS length_on_error, "                    \
    "coalesce(current_setting('auto_explain.log_min_duration', true), '-1') AS plans, "            \
    "coalesce(current_setting('auto_explain.log_parameter_max_length', true), '-1') "              \
    "AS plan_length) AS s"

static void
judge_log(struct doctor *d, int program, const PGresult *result)
{
    const char *name = doctor_program_names[program];
    bool is_shared = d->shares_sessions[program];
    bool are_logged = is_yes(result, 1) && is_yes(result, 2);
    int warnings = d->counts[DOCTOR_WARNING];
    char advice[256];

    snprintf(advice, sizeof(advice), "As a superuser: %s%s", PQgetvalue(result, 0, 6),
             is_shared ? "; then let the pooler connect anew" : "");
    if (are_logged && (is_shared || !is_yes(result, 5)))
        doctor_warn(d, advice,
                    "%s: the server logs the parameters of statements, and so addresses%s", name,
                    is_shared ? ": the pooler does not keep sessions apart, so the program cannot "
                                "turn that off"
                              : "");
    if (is_yes(result, 3))
        doctor_warn(d, "Set log_parameter_max_length_on_error = 0. See docs/security.md.",
                    "%s: the server logs parameters of statements that fail, and so addresses",
                    name);
    if (is_yes(result, 4))
        doctor_warn(d, "Set auto_explain.log_parameter_max_length = 0.",
                    "%s: auto_explain logs the parameters of statements, and so addresses", name);
    if (is_yes(result, 0))
        doctor_warn(d, "Set log_statement to none or ddl. See docs/security.md.",
                    "%s: the server logs statements; those that people write may name addresses",
                    name);
    if (warnings == d->counts[DOCTOR_WARNING])
        doctor_ok(d, "%s: the server logs no parameters of its statements%s", name,
                  are_logged ? ", because the programs turn that off" : "");
}

void
doctor_check_log(struct doctor *d)
{
    for (int program = 0; program < DOCTOR_PROGRAMS; program++) {
        PGresult *result = NULL;

        if (doctor_is_distinct(d, program))
            result = query_as(d, program, LOG_SQL);
        if (result)
            judge_log(d, program, result);
        PQclear(result);
    }
}

/* ---- huge pages --------------------------------------------------------------------------------
 */

/* How many huge pages this machine has, or -1. */
static long long
count_huge_pages(void)
{
    FILE *file = fopen("/proc/meminfo", "r");
    char line[256];
    long long count = -1;

    while (file && fgets(line, sizeof(line), file)) {
        if (sscanf(line, "HugePages_Total: %lld", &count) == 1)
            break;
    }
    if (file)
        fclose(file);
    return count;
}

void
doctor_check_memory(struct doctor *d)
{
    PGresult *result =
        doctor_query(d, NULL,
                     "SELECT current_setting('shared_buffers'), "
                     "pg_size_bytes(current_setting('shared_buffers')), "
                     "current_setting('huge_pages'), current_setting('huge_pages_status', true), "
                     "inet_server_addr() IS NULL");
    static const char advice[] =
        "Set vm.nr_hugepages and restart the server. See \"Setting up\" in "
        "docs/operations.md.";
    const char *buffers;
    const char *wanted;
    const char *status;

    if (!result)
        return;
    buffers = PQgetvalue(result, 0, 0);
    wanted = PQgetvalue(result, 0, 2);
    status = PQgetvalue(result, 0, 3); /* from PostgreSQL 17 on */
    if (strtod(PQgetvalue(result, 0, 1), NULL) < LARGE_BUFFERS_BYTES)
        doctor_ok(d, "shared_buffers of %s need no huge pages", buffers);
    else if (strcmp(wanted, "off") == 0 || strcmp(status, "off") == 0)
        doctor_warn(d, advice, "shared_buffers of %s are without huge pages", buffers);
    else if (strcmp(wanted, "try") == 0 && !*status && is_yes(result, 4) && count_huge_pages() == 0)
        doctor_warn(d, advice, "shared_buffers of %s are without huge pages: this machine has none",
                    buffers);
    else if (strcmp(wanted, "try") == 0 && !*status)
        doctor_ok(d, "shared_buffers of %s in huge pages, if the machine has enough", buffers);
    else
        doctor_ok(d, "shared_buffers of %s in huge pages", buffers);
    PQclear(result);
}
