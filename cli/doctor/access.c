/* doctor/access.c: whether the programs reach the database, and as whom; see doctor.h. */
#include "cli/doctor/doctor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/buf.h"

#define OLDEST_SERVER 150000

static const char *const group_roles[] = {"ctms_admin", "ctms_api", "ctms_agent"};

/* Whether the connection is that of a server too, and not of `ctms` alone. */
static bool
is_of_server(const struct doctor *d, int program)
{
    for (int other = DOCTOR_REST; other < DOCTOR_PROGRAMS; other++) {
        if (other == program || doctor_is_same_login(d, other, program))
            return true;
    }
    return false;
}

/* Whether the program can change data over it; reports why not. */
static bool
check_writable(struct doctor *d, int program, const PGresult *result)
{
    const char *name = doctor_program_names[program];
    bool is_replica = *PQgetvalue(result, 0, 3) == 't';
    char advice[320];
    const char *why =
        is_replica ? "the database is a replica" : "default_transaction_read_only is on";

    if (!is_replica && strcmp(PQgetvalue(result, 0, 6), "on") != 0)
        return true;
    if (is_replica)
        snprintf(advice, sizeof(advice), "Name the primary in CTMS_DB_URL%s.",
                 program == DOCTOR_REST ? "; a replica belongs into CTMS_DB_READ_URL" : "");
    else
        snprintf(advice, sizeof(advice), "Take it away: %s.", PQgetvalue(result, 0, 7));
    /* Much of what `ctms` does is to read. */
    if (!is_of_server(d, program))
        doctor_warn(d, advice, "%s: nothing can be changed: %s", name, why);
    else
        doctor_fail(d, advice, "%s: nothing can be changed: %s", name, why);
    return false;
}

static void
describe_database(struct doctor *d, int program)
{
    PGconn *db = d->db[program];
    PGresult *result = doctor_try_query(
        d, db,
        "SELECT current_database(), current_setting('server_version'), "
        "current_user, pg_is_in_recovery(), current_setting('server_version_num'), "
        "pg_encoding_to_char(encoding), current_setting('default_transaction_read_only'), "
        "format('ALTER ROLE %I RESET default_transaction_read_only, or the same of "
        "ALTER DATABASE %I', "
        "current_user, current_database()) FROM pg_database "
        "WHERE datname = current_database()");
    const char *name = doctor_program_names[program];

    if (!result || PQresultStatus(result) != PGRES_TUPLES_OK) {
        doctor_fail(d, "Look into the log of the server, and of a pooler in front of it.",
                    "%s: connected, but %s", name, doctor_problem(result, db));
        doctor_drop(d, db);
        PQclear(result);
        return;
    }
    if (db == doctor_db(d))
        d->is_replica = *PQgetvalue(result, 0, 3) == 't';
    if (atoi(PQgetvalue(result, 0, 4)) < OLDEST_SERVER)
        doctor_fail(d, "Upgrade the server.", "%s: PostgreSQL %s is older than 15", name,
                    PQgetvalue(result, 0, 1));
    else if (strcmp(PQgetvalue(result, 0, 5), "UTF8") != 0)
        doctor_fail(d, "Make the database anew, with encoding UTF8.",
                    "%s: the database has encoding %s", name, PQgetvalue(result, 0, 5));
    else if (check_writable(d, program, result))
        doctor_ok(d, "%s: \"%s\" as \"%s\", PostgreSQL %s", name, PQgetvalue(result, 0, 0),
                  PQgetvalue(result, 0, 2), PQgetvalue(result, 0, 1));
    PQclear(result);
}

/* What to do about the state of a failed connection. */
static const char *
advise_connection(const char *state)
{
    static const char *const advice[][2] = {
        {"53300", "Raise max_connections or the limit of the role or database, or lower "
                  "CTMS_PROCESSES or CTMS_DB_MAX_CONNECTIONS; CTMS_DB_URL itself is right."},
        {"3D000", "Create the database, or correct its name in CTMS_DB_URL."},
        {"28P01", "Correct the password in CTMS_DB_URL, or set it: ALTER ROLE … PASSWORD."},
        {"28000", "Is the role of CTMS_DB_URL there, with LOGIN, and does a line of pg_hba.conf "
                  "allow it this database from here?"},
        {"57P03", "Wait until the server has started or recovered; its log says how far it is. "
                  "CTMS_DB_URL itself is right."},
    };

    for (size_t i = 0; i < sizeof(advice) / sizeof(*advice); i++) {
        if (strcmp(state, advice[i][0]) == 0)
            return advice[i][1];
    }
    return *state ? "The server refused it; its log may say more. Is CTMS_DB_URL right?"
                  : "Is the server up, and are host and port in CTMS_DB_URL right? A firewall or a "
                    "password that is missing is another reason.";
}

static void
connect_program(struct doctor *d, int program)
{
    const char *url = doctor_url(d, program);
    char problem[512];

    for (int earlier = 0; earlier < program; earlier++) {
        if (doctor_is_same_login(d, earlier, program)) {
            d->db[program] = d->db[earlier];
            return;
        }
    }
    if (!url)
        return;
    doctor_begin(d);
    d->db[program] = doctor_connect(d, program, url, problem, sizeof(problem));
    if (d->db[program])
        describe_database(d, program);
    else
        doctor_fail(d, advise_connection(d->connect_state), "%s: %s", doctor_program_names[program],
                    problem);
}

/*
 * Which database it is, and its name for people. A cluster and its copy have the same identifier,
 * but were not started at the same instant; a primary and its replica neither.
 */
#define IDENTITY_SQL                                                                               \
    "SELECT concat_ws(' ', c.system_identifier, d.oid), "                                          \
    "CASE WHEN pg_is_in_recovery() THEN '' ELSE pg_postmaster_start_time()::text END, "            \
    "format('\"%s\" at %s port %s', d.datname, "                                                   \
    "coalesce(host(inet_server_addr()), 'a local socket,'), current_setting('port')) "             \
    "FROM pg_control_system() c, pg_database d WHERE d.datname = current_database()"

static bool
is_same_database(const PGresult *one, const PGresult *other)
{
    const char *start = PQgetvalue(one, 0, 1);
    const char *other_start = PQgetvalue(other, 0, 1);

    return strcmp(PQgetvalue(one, 0, 0), PQgetvalue(other, 0, 0)) == 0 &&
           (!*start || !*other_start || strcmp(start, other_start) == 0);
}

/* The programs work together in one database. */
static void
compare_databases(struct doctor *d)
{
    PGresult *first = NULL;
    int first_program = 0;

    for (int program = 0; program < DOCTOR_PROGRAMS; program++) {
        PGresult *result = NULL;

        if (doctor_is_distinct(d, program)) {
            doctor_begin(d);
            result = doctor_try_query(d, d->db[program], IDENTITY_SQL);
        }
        if (!result || PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1) {
            PQclear(result);
        } else if (!first) {
            first = result;
            first_program = program;
        } else {
            if (!is_same_database(first, result))
                doctor_fail(d, "Correct one CTMS_DB_URL: all programs need the same database.",
                            "%s uses the database %s, but %s uses %s",
                            doctor_program_names[program], PQgetvalue(result, 0, 2),
                            doctor_program_names[first_program], PQgetvalue(first, 0, 2));
            PQclear(result);
        }
    }
    PQclear(first);
}

void
doctor_check_database(struct doctor *d)
{
    if (!doctor_url(d, DOCTOR_CLI))
        doctor_skip(d, "ctms: not checked: needs settings without an error");
    for (int program = 0; program < DOCTOR_PROGRAMS; program++)
        connect_program(d, program);
    compare_databases(d);
}

/* ---- roles ------------------------------------------------------------------------------ */

/* A superuser counts as a member of nothing: is_member is what was granted. From 16 on a membership
 * inherits or not, before it was the role. */
#define ROLES_SQL                                                                                  \
    "SELECT u.rolname, u.rolsuper, r.name, g.oid IS NOT NULL, "                                    \
    "CASE WHEN u.rolsuper THEN false ELSE pg_has_role(u.oid, g.oid, 'USAGE') END, "                \
    "g.rolsuper OR g.rolcanlogin OR g.rolcreaterole OR g.rolcreatedb OR g.rolreplication "         \
    "OR g.rolbypassrls, pg_has_role(u.oid, g.oid, 'MEMBER'), "                                     \
    "CASE WHEN current_setting('server_version_num')::integer < 160000 "                           \
    "THEN format('ALTER ROLE %I INHERIT', u.rolname) "                                             \
    "ELSE format('GRANT %I TO %I WITH INHERIT TRUE', r.name, u.rolname) END "                      \
    "FROM pg_roles u CROSS JOIN "                                                                  \
    "unnest(ARRAY['ctms_admin', 'ctms_api', "                                                      \
    "'ctms_agent', 'ctms_reader', 'ctms_monitor']) WITH ORDINALITY AS r (name, place) "            \
    "LEFT JOIN pg_roles g ON g.rolname = r.name WHERE u.rolname = current_user ORDER BY r.place"

static bool
is_true(const PGresult *result, int row, int column)
{
    return *PQgetvalue(result, row, column) == 't';
}

/* The group roles themselves; they belong to the cluster. */
static bool
check_groups(struct doctor *d, const PGresult *result)
{
    for (int row = 0; row < PQntuples(result); row++) {
        if (!is_true(result, row, 3)) {
            doctor_fail(d,
                        "CREATE EXTENSION ctms makes it; after pg_restore, restore the roles too.",
                        "there is no role \"%s\"", PQgetvalue(result, row, 2));
            return false;
        }
        if (is_true(result, row, 5))
            doctor_warn(d,
                        "Take it away: ALTER ROLE … NOLOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB.",
                        "the group role \"%s\" may log in, or more", PQgetvalue(result, row, 2));
    }
    return true;
}

/* The first group that the role is a member of, from that row on; or -1. */
static int
find_group(const PGresult *result, int row, int except)
{
    for (; row < PQntuples(result); row++) {
        if (row != except && is_true(result, row, 4))
            return row;
    }
    return -1;
}

static void
judge_role(struct doctor *d, int program, const PGresult *result)
{
    const char *name = doctor_program_names[program];
    const char *role = PQgetvalue(result, 0, 0);
    int other = find_group(result, 0, program);
    bool is_member = is_true(result, program, 4);
    char advice[200];

    snprintf(advice, sizeof(advice), "Give it a role of its own: CREATE ROLE … LOGIN IN ROLE %s.",
             group_roles[program]);
    if (is_true(result, 0, 1))
        doctor_warn(d, advice, "%s: \"%s\" is a superuser", name, role);
    else if (!is_member && is_true(result, program, 6)) {
        snprintf(advice, sizeof(advice), "As a superuser: %s", PQgetvalue(result, program, 7));
        doctor_fail(d, advice, "%s: \"%s\" is a member of %s that does not inherit what it may",
                    name, role, group_roles[program]);
    } else if (!is_member && (program != DOCTOR_CLI || other < 0))
        doctor_fail(d, advice, "%s: \"%s\" is not a member of %s", name, role,
                    group_roles[program]);
    else if (program != DOCTOR_CLI && other >= 0)
        doctor_warn(d, advice, "%s: \"%s\" is a member of %s too, and so may more than it needs",
                    name, role, PQgetvalue(result, other, 2));
    else
        doctor_ok(d, "%s: \"%s\" is a member of %s", name, role,
                  is_member ? group_roles[program] : PQgetvalue(result, other, 2));
}

/* What a program cannot do without, of the much that its group may: if one is gone, look at all. */
#define MISSING_SQL                                                                                \
    "SELECT string_agg(format('GRANT %%s TO %s', m.what), '; ' ORDER BY m.what) FROM ("            \
    "SELECT 'USAGE ON SCHEMA ctms' FROM pg_namespace n WHERE n.nspname = 'ctms' "                  \
    "AND NOT has_schema_privilege(n.oid, 'USAGE') UNION ALL "                                      \
    "SELECT format('EXECUTE ON FUNCTION %%s', p.oid::regprocedure) FROM pg_namespace n "           \
    "JOIN pg_proc p ON p.pronamespace = n.oid WHERE n.nspname = 'ctms' "                           \
    "AND p.proname IN (%s) AND NOT has_function_privilege(p.oid, 'EXECUTE') UNION ALL "            \
    "SELECT format('SELECT ON %%s', c.oid::regclass) FROM pg_namespace n "                         \
    "JOIN pg_class c ON c.relnamespace = n.oid WHERE n.nspname = 'ctms' "                          \
    "AND c.relname IN (%s) AND NOT has_table_privilege(c.oid, 'SELECT')) AS m (what)"

static void
check_privileges(struct doctor *d, int program)
{
    static const char *const functions[] = {"'acoustic_backlog'",
                                            "'get_api_client', 'create_contact', 'upsert_stripe'",
                                            "'acoustic_rows', 'share_acoustic'"};
    static const char *const tables[] = {"'emails', 'api_client'", "''", "''"};
    char sql[1200];
    buf advice = BUF_INIT;
    PGresult *result;

    snprintf(sql, sizeof(sql), MISSING_SQL, group_roles[program], functions[program],
             tables[program]);
    result = doctor_try_query(d, d->db[program], sql);
    if (result && PQresultStatus(result) == PGRES_TUPLES_OK && !PQgetisnull(result, 0, 0)) {
        buf_printf(&advice, "As a superuser: %s", PQgetvalue(result, 0, 0));
        doctor_fail(d, buf_text(&advice), "%s: %s may not do what the program does",
                    doctor_program_names[program], group_roles[program]);
    }
    buf_free(&advice);
    PQclear(result);
}

void
doctor_check_roles(struct doctor *d)
{
    bool are_known = false;

    for (int program = 0; program < DOCTOR_PROGRAMS; program++) {
        PGconn *db = d->db[program];
        PGresult *result = db ? doctor_try_query(d, db, ROLES_SQL) : NULL;

        if (result && PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) > 0) {
            are_known = are_known || check_groups(d, result);
            if (are_known)
                judge_role(d, program, result);
            if (are_known && is_true(result, program, 4))
                check_privileges(d, program);
        } else if (db) {
            doctor_warn(d, "Try again.", "%s: could not be checked: %s",
                        doctor_program_names[program], doctor_problem(result, db));
            doctor_drop(d, db);
        }
        PQclear(result);
        if (db && !are_known)
            return;
    }
}
