/* doctor/work.c: the queue, what keeps dead rows in it, what was refused, and what cannot be
 * stored; see doctor.h. */
#include "cli/doctor/doctor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/database.h"
#include "common/buf.h"

/* A change is sent within seconds; docs/operations.md calls a minute healthy. */
#define OLD_CHANGE_S 300
/* Rows are taken back when a lease ends and somebody claims. */
#define DEAD_LEASE "5 minutes"

/* ---- queue ------------------------------------------------------------------------------------
 */

static const char *
retry_limit(const struct doctor *d)
{
    for (int program = DOCTOR_PROGRAMS; program-- > 0;) {
        if (d->settings[program])
            return config_string(d->settings[program], "CTMS_ACOUSTIC_RETRY_LIMIT");
    }
    return "6";
}

/* What only members of ctms_reader and ctms_admin may see. */
static void
check_rows(struct doctor *d, const char *limit)
{
    char sql[1024];
    PGresult *result;
    const char *given_up;
    const char *dead;

    snprintf(
        sql, sizeof(sql),
        "SELECT (SELECT count(*) FROM (SELECT FROM ctms.pending_acoustic WHERE retry_after = "
        "'infinity' OR retry >= %s LIMIT 10000) AS given_up), (SELECT count(*) FROM (SELECT FROM "
        "ctms.pending_acoustic WHERE lease_until < now() - interval '" DEAD_LEASE "' LIMIT 10000) "
        "AS dead)",
        limit);
    result = doctor_query(d, "ctms_reader or ctms_admin, to see failures", sql);
    if (!result)
        return;
    given_up = PQgetvalue(result, 0, 0);
    dead = PQgetvalue(result, 0, 1);
    if (strcmp(given_up, "0") != 0)
        doctor_warn(d, "Run \"ctms acoustic status\". See \"Contacts fail\" in docs/operations.md.",
                    "%s contacts were given up, until they change", given_up);
    if (strcmp(dead, "0") != 0)
        doctor_warn(d, "Does an agent run, and does its log say that it works?",
                    "%s contacts are held by an agent that has gone, and nobody takes them", dead);
    PQclear(result);
}

static void
check_runs_by_file(struct doctor *d)
{
    PGresult *result =
        doctor_query(d, "ctms_agent, ctms_reader or ctms_admin, to see runs by file",
                     "SELECT run_id, state, contacts, run_id IS NOT NULL AND NOT is_running, "
                     "last_state IS NOT DISTINCT FROM 'failed', last_error, files_left "
                     "FROM ctms.acoustic_bulk_status()");

    if (!result)
        return;
    if (PQgetvalue(result, 0, 3)[0] == 't')
        doctor_warn(d, "Run \"ctms acoustic bulk --resume\".",
                    "nobody works on run %s by file (%s), which holds %s contacts",
                    PQgetvalue(result, 0, 0), PQgetvalue(result, 0, 1), PQgetvalue(result, 0, 2));
    if (PQgetvalue(result, 0, 4)[0] == 't')
        doctor_warn(d, "See \"A run by file fails\" in docs/operations.md.",
                    "the last run by file was given up: %s", PQgetvalue(result, 0, 5));
    if (strcmp(PQgetvalue(result, 0, 6), "0") != 0)
        doctor_warn(d, "See \"Files are left\" in docs/operations.md.",
                    "%s files of runs that have ended may be left on the SFTP server",
                    PQgetvalue(result, 0, 6));
    PQclear(result);
}

void
doctor_check_queue(struct doctor *d)
{
    const char *limit = retry_limit(d);
    char sql[256];
    PGresult *result;

    if (!d->is_installed) {
        doctor_skip(d, "not checked: needs the extension");
        return;
    }
    snprintf(
        sql, sizeof(sql),
        "SELECT backlog, retry_backlog, (SELECT round(oldest_age_s) FROM ctms.acoustic_lanes(%s)"
        " WHERE lane = 'live') FROM ctms.acoustic_backlog(%s)",
        limit, limit);
    result = doctor_query(d, "ctms_api, ctms_agent or ctms_admin", sql);
    if (!result)
        return;
    if (strtoll(PQgetvalue(result, 0, 2), NULL, 10) > OLD_CHANGE_S)
        doctor_warn(d, "See \"The backlog grows\" in docs/operations.md.",
                    "%s contacts wait, the oldest for %s s", PQgetvalue(result, 0, 0),
                    PQgetvalue(result, 0, 2));
    else
        doctor_ok(d, "%s contacts wait, %s have failed", PQgetvalue(result, 0, 0),
                  PQgetvalue(result, 0, 1));
    PQclear(result);
    if (doctor_db(d))
        check_rows(d, limit);
    if (doctor_db(d))
        check_runs_by_file(d);
}

/* ---- waitlists ----------------------------------------------------------------------------------
 */

void
doctor_check_waitlists(struct doctor *d)
{
    PGresult *result;

    if (!d->is_installed) {
        doctor_skip(d, "not checked: needs the extension");
        return;
    }
    result = doctor_query(d, "ctms_api, ctms_reader or ctms_admin",
                          "SELECT name, problem FROM ctms.list_unusable_waitlists() LIMIT 20");
    if (!result)
        return;
    for (int row = 0; row < PQntuples(result); row++)
        doctor_fail(d, "Change the document to which it refers, or the schema.",
                    "nobody can join \"%s\": %s", PQgetvalue(result, row, 0),
                    PQgetvalue(result, row, 1));
    if (PQntuples(result) == 0)
        doctor_ok(d, "all schemas can be used");
    PQclear(result);
}

/* ---- Stripe -------------------------------------------------------------------------------------
 */

void
doctor_check_stripe(struct doctor *d)
{
    PGresult *result;
    const char *kept;

    if (!d->is_installed) {
        doctor_skip(d, "not checked: needs the extension");
        return;
    }
    result = doctor_query(d, "ctms_api, ctms_agent, ctms_reader or ctms_admin",
                          "SELECT ctms.count_stripe_refused()");
    if (!result)
        return;
    kept = PQgetvalue(result, 0, 0);
    if (strcmp(kept, "0") != 0)
        doctor_warn(d,
                    "Run \"ctms stripe refused list\". See \"Stripe objects are refused\" in "
                    "docs/operations.md.",
                    "%s refused Stripe objects are kept", kept);
    else
        doctor_ok(d, "no refused object is kept");
    PQclear(result);
}

/* ---- snapshots ----------------------------------------------------------------------------------
 */

/* Names of slots and prepared transactions are the administrator's; those of people are not shown.
 * Vacuums do not count: they hold back no other. */
#define SNAPSHOTS_SQL                                                                              \
    "SELECT 'session ' || pid, round(extract(epoch FROM now() - xact_start)) FROM "                \
    "pg_stat_activity WHERE coalesce(backend_xmin, backend_xid) IS NOT NULL "                      \
    "AND backend_type <> 'autovacuum worker' "                                                     \
    "AND now() - xact_start > interval '%.0f seconds' "                                            \
    "UNION ALL SELECT 'prepared transaction ' || gid, round(extract(epoch FROM now() - "           \
    "prepared)) "                                                                                  \
    "FROM pg_prepared_xacts WHERE now() - prepared > interval '%.0f seconds' "                     \
    "UNION ALL SELECT 'unused replication slot ' || slot_name, NULL FROM pg_replication_slots "    \
    "WHERE NOT active AND (xmin IS NOT NULL OR catalog_xmin IS NOT NULL "                          \
    "OR restart_lsn IS NOT NULL) ORDER BY 2 DESC NULLS FIRST LIMIT 5"

static void
report_snapshots(struct doctor *d, const PGresult *result)
{
    buf list = BUF_INIT;

    for (int row = 0; row < PQntuples(result); row++) {
        buf_printf(&list, "%s%s", row > 0 ? ", " : "", PQgetvalue(result, row, 0));
        if (!PQgetisnull(result, row, 1))
            buf_printf(&list, " for %s s", PQgetvalue(result, row, 1));
    }
    doctor_warn(d, "End them. See \"An old snapshot\" in docs/operations.md.",
                "dead rows are kept: %s", buf_text(&list));
    buf_free(&list);
}

void
doctor_check_snapshots(struct doctor *d)
{
    char sql[1024];
    PGresult *result;

    snprintf(sql, sizeof(sql), SNAPSHOTS_SQL, d->old_s, d->old_s);
    result = doctor_query(d, NULL, sql);
    if (!result)
        return;
    if (PQntuples(result) > 0)
        report_snapshots(d, result);
    else
        doctor_ok(d, "no transaction is older than %.15g s", d->old_s);
    PQclear(result);
    if (!doctor_db(d))
        return;
    result =
        doctor_query(d, NULL, "SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')");
    if (result && *PQgetvalue(result, 0, 0) != 't')
        doctor_skip(d, "sessions of others: not checked: needs the role pg_monitor");
    PQclear(result);
}
