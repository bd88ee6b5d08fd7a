/*
 * doctor/policy.c: the settings of the database (ctms.settings): what does not become one; see
 * doctor.h.
 */
#include "cli/doctor/doctor.h"

#include <stdio.h>
#include <string.h>
#include "cli/database.h"
#include "common/buf.h"

/*
 * Settings of roles and databases that belong into ctms.settings: where, name, and the value with
 * its unit, if that is safe in a shell. Those of other databases are not ours. A role may have
 * direct_access for itself.
 */
#define LEFT_OVER_SQL                                                                              \
    "SELECT CASE WHEN s.setrole = 0 AND s.setdatabase = 0 THEN 'ROLE ALL' "                        \
    "WHEN s.setrole = 0 THEN format('DATABASE %I', current_database()) ELSE concat(format("        \
    "'ROLE %I', r.rolname), CASE WHEN s.setdatabase <> 0 THEN format(' IN DATABASE %I', "          \
    "current_database()) END) END, p.name, "                                                       \
    "CASE WHEN v.value ~ '^[0-9]+$' THEN v.value || CASE p.name WHEN 'acoustic_history_age' "      \
    "THEN 'min' WHEN 'acoustic_retry_delay' THEN 'ms' ELSE '' END "                                \
    "WHEN v.value ~ '^[0-9A-Za-z]+$' THEN v.value ELSE 'VALUE' END "                               \
    "FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole "                         \
    "CROSS JOIN unnest(s.setconfig) AS c (entry) CROSS JOIN "                                      \
    "unnest(ARRAY['acoustic_deletions', 'acoustic_history_age', 'acoustic_history_rows', "         \
    "'acoustic_history_sent', 'acoustic_retry_delay', "                                            \
    "'acoustic_skip_unchanged', 'direct_access', 'stripe_refused_age']) AS p (name) "              \
    "CROSS JOIN replace(substr(c.entry, length('ctms.' || p.name || '=') + 1), ' ', '') "          \
    "AS v (value) WHERE starts_with(c.entry, 'ctms.' || p.name || '=') AND s.setdatabase IN "      \
    "(0, (SELECT oid FROM pg_database WHERE datname = current_database())) "                       \
    "AND (p.name <> 'direct_access' OR s.setrole = 0) ORDER BY 1, 2"

static void
check_left_over(struct doctor *d)
{
    PGresult *result = doctor_query(d, NULL, LEFT_OVER_SQL);

    for (int row = 0; result && row < PQntuples(result); row++) {
        const char *where = PQgetvalue(result, row, 0);
        const char *name = PQgetvalue(result, row, 1);
        buf advice = BUF_INIT;

        buf_printf(&advice,
                   "Move it: ctms settings set %s %s; and as a superuser: ALTER %s RESET ctms.%s",
                   name, PQgetvalue(result, row, 2), where, name);
        doctor_warn(d, buf_text(&advice),
                    strcmp(name, "direct_access") == 0
                        ? "ctms.%s of %s is lost by a dump: it is a setting of the database too"
                        : "ctms.%s of %s has no effect: it is a setting of the database",
                    name, where);
        buf_free(&advice);
    }
    PQclear(result);
}

/* Rows that this version ignores. False when the role may not see them. */
static bool
check_rows(struct doctor *d)
{
    PGresult *result = doctor_query(
        d, "ctms_reader or ctms_admin, to see settings",
        "SELECT s.name FROM ctms.settings s WHERE NOT EXISTS (SELECT FROM ctms.list_settings() l "
        "WHERE l.name = s.name AND l.value = s.value) ORDER BY 1");
    bool is_seen = result != NULL;

    for (int row = 0; result && row < PQntuples(result); row++)
        doctor_warn(d, "Update the extension, or take it away: ctms settings reset NAME.",
                    "the setting \"%s\" comes from another version and is ignored",
                    PQgetvalue(result, row, 0));
    PQclear(result);
    return is_seen;
}

void
doctor_check_policy(struct doctor *d)
{
    int problems = d->counts[DOCTOR_ERROR] + d->counts[DOCTOR_WARNING];

    if (!d->is_installed) {
        doctor_skip(d, "not checked: needs the extension");
        return;
    }
    check_left_over(d);
    if (doctor_db(d) && check_rows(d) &&
        problems == d->counts[DOCTOR_ERROR] + d->counts[DOCTOR_WARNING])
        doctor_ok(d, "all settings of the database have an effect");
}
