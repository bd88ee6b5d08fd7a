/*
 * doctor/objects.c: the extension: the versions of its SQL objects, of the library and of this
 * program, and its triggers; see doctor.h.
 */
#include "cli/doctor/doctor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/database.h"
#include "common/buf.h"
#include "common/include_file.h"
#include "common/version.h"

INCLUDE_FILE(triggers_sql, "cli/doctor/triggers.sql");

/* Names of triggers in one line. */
#define NAMED_TRIGGERS 4

#define UPDATE "As a superuser: ALTER EXTENSION ctms UPDATE. See docs/upgrade.md."

/* ---- versions ---------------------------------------------------------------------------- */

/* Below, above or equal to 0, number by number: 1.10 comes after 1.9. */
static long
compare_versions(const char *one, const char *other)
{
    while (*one && *other) {
        char *one_end;
        char *other_end;
        long difference = strtol(one, &one_end, 10) - strtol(other, &other_end, 10);

        if (difference != 0)
            return difference;
        if (one_end == one || other_end == other)
            return strcmp(one, other);
        one = one_end + (*one_end == '.');
        other = other_end + (*other_end == '.');
    }
    return (long)(unsigned char)*one - (long)(unsigned char)*other;
}

/* objects: the version of the SQL objects, which follows that of the library in an upgrade. */
static void
check_library(struct doctor *d, const char *objects)
{
    PGconn *db = doctor_db(d);
    PGresult *result = doctor_try_query(d, db, "SELECT ctms.library_version()");

    if (result && PQresultStatus(result) == PGRES_TUPLES_OK) {
        const char *library = PQgetvalue(result, 0, 0);

        long ahead = compare_versions(library, objects);

        if (ahead == 0)
            doctor_ok(d, "the library ctms.so has version %s too", library);
        else if (ahead > 0)
            doctor_warn(d, UPDATE,
                        "the server has loaded version %s of ctms.so, for older objects of "
                        "version %s",
                        library, objects);
        else
            doctor_fail(d,
                        "Install the package of the newer library; if it is in "
                        "shared_preload_libraries, restart the server.",
                        "the server has loaded version %s of ctms.so, for newer objects of "
                        "version %s",
                        library, objects);
    } else if (result && database_is_state(result, "42501")) {
        doctor_skip(d,
                    "library: not checked: needs ctms_api, ctms_agent, ctms_reader or ctms_admin");
    } else if (result && database_is_state(result, "42883")) {
        doctor_fail(d, UPDATE, "the SQL objects are older than this program: %s",
                    doctor_problem(result, db));
    } else {
        doctor_fail(d, "Install the extension's files into this server's PostgreSQL.",
                    "the library cannot be used: %s", doctor_problem(result, db));
    }
    PQclear(result);
}

/* Programs may use other databases than doctor_db(): by mistake, which is reported too. */
static void
check_others(struct doctor *d)
{
    for (int program = 0; program < DOCTOR_PROGRAMS; program++) {
        PGconn *db = d->db[program];
        PGresult *result;

        if (db == doctor_db(d) || !doctor_is_distinct(d, program))
            continue;
        result = doctor_try_query(d, db, "SELECT FROM pg_extension WHERE extname = 'ctms'");
        if (result && PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 0)
            doctor_fail(d, "As a superuser, in that database: CREATE EXTENSION ctms",
                        "%s: the database \"%s\" does not have the extension",
                        doctor_program_names[program], PQdb(db));
        PQclear(result);
    }
}

void
doctor_check_extension(struct doctor *d)
{
    PGresult *result = doctor_query(
        d, NULL,
        "SELECT coalesce(e.extversion, ''), coalesce(a.default_version, '') "
        "FROM (VALUES ('ctms')) AS wanted (name) LEFT JOIN pg_extension e ON e.extname = name "
        "LEFT JOIN pg_available_extensions a ON a.name = wanted.name");
    const char *objects;
    const char *available;

    if (!result)
        return;
    objects = PQgetvalue(result, 0, 0);
    available = PQgetvalue(result, 0, 1);
    d->is_installed = *objects != '\0';
    if (!d->is_installed) {
        doctor_fail(d,
                    *available ? "As a superuser, in this database: CREATE EXTENSION ctms"
                               : "Install its package, or run make install; then CREATE EXTENSION.",
                    "this database does not have the extension");
    } else {
        if (*available && compare_versions(objects, available) > 0)
            doctor_fail(d, "Install the newer package of the extension on the server.",
                        "the SQL objects have version %s, but only %s is installed", objects,
                        available);
        else if (*available && strcmp(objects, available) != 0)
            doctor_warn(d, UPDATE, "the SQL objects have version %s; %s is installed", objects,
                        available);
        else if (strcmp(objects, CTMS_OBJECTS_VERSION) != 0)
            doctor_warn(d,
                        compare_versions(objects, CTMS_OBJECTS_VERSION) > 0
                            ? "Install the newer package of the programs. See docs/upgrade.md."
                            : "Install the newer package of the extension. See docs/upgrade.md.",
                        "this program has version %s, the SQL objects have %s", CTMS_VERSION,
                        objects);
        else
            doctor_ok(d, "version %s, as this program", objects);
        check_library(d, objects);
        check_others(d);
    }
    PQclear(result);
}

/* ---- triggers ---------------------------------------------------------------------------- */

/*
 * A setting of a role or database that keeps triggers from firing, or from enqueueing. Restoring is
 * for those alone who may (extension/base/restore.c), whatever the setting says.
 */
#define SWITCHES_SQL                                                                               \
    "SELECT CASE WHEN current_setting('session_replication_role') = 'replica' "                    \
    "THEN 'session_replication_role' "                                                             \
    "WHEN NOT coalesce(current_setting('ctms.enqueue', true), 'on')::bool THEN 'ctms.enqueue' "    \
    "WHEN NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = 'ctms_admin' "                      \
    "AND pg_has_role(session_user, r.oid, 'MEMBER')) THEN NULL "                                   \
    "WHEN m.mode = 'on' THEN 'ctms.restore_mode' "                                                 \
    "WHEN m.mode = 'auto' AND NOT current_setting('row_security')::bool "                          \
    "AND NOT current_setting('check_function_bodies')::bool THEN 'check_function_bodies' END "     \
    "FROM lower(coalesce(current_setting('ctms.restore_mode', true), 'auto')) AS m (mode)"

static const char *
describe_switch(const char *name)
{
    if (strcmp(name, "session_replication_role") == 0)
        return "triggers do not fire: session_replication_role is replica";
    if (strcmp(name, "ctms.enqueue") == 0)
        return "changes are not enqueued for Acoustic: ctms.enqueue is off";
    if (strcmp(name, "ctms.restore_mode") == 0)
        return "changes are not enqueued for Acoustic, nor validated: ctms.restore_mode is on";
    return "changes are not enqueued for Acoustic, nor validated: row_security and "
           "check_function_bodies are off, as in a restore";
}

static void
check_switches(struct doctor *d, int program)
{
    PGconn *db = d->db[program];
    PGresult *result = doctor_try_query(d, db, SWITCHES_SQL);

    if (!result || PQresultStatus(result) != PGRES_TUPLES_OK) {
        doctor_warn(d, "Try again.", "could not be checked: %s", doctor_problem(result, db));
    } else if (!PQgetisnull(result, 0, 0)) {
        const char *name = PQgetvalue(result, 0, 0);
        buf advice = BUF_INIT;

        buf_printf(&advice, "Take it away: ALTER ROLE … RESET %s, or ALTER DATABASE.", name);
        doctor_fail(d, buf_text(&advice), "%s: %s", doctor_program_names[program],
                    describe_switch(name));
        buf_free(&advice);
    }
    PQclear(result);
}

/* Statements for what is there, each once; names of what is missing. */
static void
advise_triggers(const PGresult *result, buf *advice)
{
    buf statements = BUF_INIT;
    buf missing = BUF_INIT;
    const char *last = "";

    for (int row = 0; row < PQntuples(result); row++) {
        const char *statement = PQgetvalue(result, row, 3);

        if (!*statement)
            buf_printf(&missing, "%s%s", missing.length > 0 ? ", " : "",
                       PQgetvalue(result, row, 1));
        else if (strcmp(statement, last) != 0)
            buf_printf(&statements, "%s%s", statements.length > 0 ? "; " : "", statement);
        if (*statement)
            last = statement;
    }
    if (statements.length > 0)
        buf_printf(advice, "As a superuser: %s", buf_text(&statements));
    if (missing.length > 0)
        buf_printf(advice, "%sMake as the file ctms--%s.sql of the installation does: %s",
                   statements.length > 0 ? ". " : "", CTMS_OBJECTS_VERSION, buf_text(&missing));
    buf_free(&statements);
    buf_free(&missing);
}

static void
report_triggers(struct doctor *d, const PGresult *result)
{
    int count = PQntuples(result);
    buf advice = BUF_INIT;
    buf list = BUF_INIT;

    for (int row = 0; row < count && row < NAMED_TRIGGERS; row++)
        buf_printf(&list, "%s%s %s", row > 0 ? ", " : "", PQgetvalue(result, row, 1),
                   PQgetvalue(result, row, 2));
    if (count > NAMED_TRIGGERS)
        buf_printf(&list, ", and %d more", count - NAMED_TRIGGERS);
    advise_triggers(result, &advice);
    doctor_fail(d, buf_text(&advice), "%s", buf_text(&list));
    buf_free(&advice);
    buf_free(&list);
}

void
doctor_check_triggers(struct doctor *d)
{
    int errors = d->counts[DOCTOR_ERROR] + d->counts[DOCTOR_WARNING];
    PGresult *result;

    if (!d->is_installed) {
        doctor_skip(d, "not checked: needs the extension");
        return;
    }
    result = doctor_query(d, NULL, triggers_sql);
    if (result && PQntuples(result) > 0)
        report_triggers(d, result);
    for (int program = 0; program < DOCTOR_PROGRAMS; program++) {
        if (doctor_is_distinct(d, program))
            check_switches(d, program);
    }
    if (result && errors == d->counts[DOCTOR_ERROR] + d->counts[DOCTOR_WARNING])
        doctor_ok(d, "all are there and fire");
    PQclear(result);
}
