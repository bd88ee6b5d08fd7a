/*
 * doctor/replicas.c: the servers that REST reads from, with CTMS_DB_READ_URL: whether each is a
 * replica of its database, and how far it is behind; see doctor.h.
 *
 * They are called by their number in the list, because the URL has secrets.
 */
#include "cli/doctor/doctor.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/db_url.h"

/* One that shows changes later than this hardly answers any read. */
#define LATE_S 10.0

#define MEANWHILE "Meanwhile its reads go to the other replicas, or to CTMS_DB_URL."

/* What the primary says of itself; zeros if it did not. Numbers, as they go into statements. */
struct primary {
    char cluster[32];
    int timeline;
    uint32_t lsn_high, lsn_low;
};

static bool
read_primary(const PGresult *result, struct primary *primary)
{
    snprintf(primary->cluster, sizeof(primary->cluster), "%s", PQgetvalue(result, 0, 0));
    primary->timeline = atoi(PQgetvalue(result, 0, 1));
    return sscanf(PQgetvalue(result, 0, 2), "%8" SCNx32 "/%8" SCNx32, &primary->lsn_high,
                  &primary->lsn_low) == 2;
}

static void
ask_primary(struct doctor *d, struct primary *primary)
{
    PGconn *db = d->db[DOCTOR_REST];
    PGresult *result =
        db ? doctor_try_query(d, db,
                              "SELECT c.system_identifier, p.timeline, p.lsn "
                              "FROM pg_control_system() AS c, ctms.wal_position() AS p")
           : NULL;

    if (!result || PQresultStatus(result) != PGRES_TUPLES_OK || !read_primary(result, primary))
        doctor_skip(d, "not compared with the primary, which did not tell its position");
    PQclear(result);
}

/* Its own words are those of ctms.require_replayed(). */
static bool
follows(struct doctor *d, PGconn *db, int number, const struct primary *primary)
{
    char sql[100];
    PGresult *result;
    bool is_passed;

    snprintf(sql, sizeof(sql), "SELECT ctms.require_replayed(%d, '0/1')", primary->timeline);
    result = doctor_try_query(d, db, sql);
    is_passed = result && PQresultStatus(result) == PGRES_TUPLES_OK;
    if (!is_passed)
        doctor_warn(
            d,
            "Nothing is read from it. If it stays on another timeline than the primary, make "
            "it anew, with pg_rewind or pg_basebackup.",
            "server %d: %s", number, doctor_problem(result, db));
    PQclear(result);
    return is_passed;
}

static void
judge_lag(struct doctor *d, PGconn *db, int number, const struct primary *primary)
{
    char sql[400];
    PGresult *result;

    snprintf(sql, sizeof(sql),
             "SELECT greatest(0, '%" PRIX32 "/%" PRIX32 "'::pg_lsn - pg_last_wal_replay_lsn()), "
             "coalesce(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()), 0)"
             "::numeric(20,1)",
             primary->lsn_high, primary->lsn_low);
    result = doctor_try_query(d, db, sql);
    if (!result || PQresultStatus(result) != PGRES_TUPLES_OK)
        doctor_warn(d, MEANWHILE, "server %d: %s", number, doctor_problem(result, db));
    else if (atof(PQgetvalue(result, 0, 0)) > 0 && atof(PQgetvalue(result, 0, 1)) > LATE_S)
        doctor_warn(d,
                    "Is it connected to the primary, is its replay paused, or does it have "
                    "recovery_min_apply_delay? Its log says more.",
                    "server %d is a replica that is %s bytes and %s s behind", number,
                    PQgetvalue(result, 0, 0), PQgetvalue(result, 0, 1));
    else
        doctor_ok(d, "server %d is a replica, %s bytes behind", number, PQgetvalue(result, 0, 0));
    PQclear(result);
}

/* Returns true for a replica, whatever its state. */
static bool
judge_server(struct doctor *d, PGconn *db, int number, const struct primary *primary)
{
    PGresult *result = doctor_try_query(
        d, db, "SELECT pg_is_in_recovery(), system_identifier FROM pg_control_system()");
    bool is_replica = false;

    if (!result || PQresultStatus(result) != PGRES_TUPLES_OK) {
        doctor_warn(d, MEANWHILE, "server %d: %s", number, doctor_problem(result, db));
    } else if (*primary->cluster && strcmp(PQgetvalue(result, 0, 1), primary->cluster) != 0) {
        doctor_fail(d, "Correct CTMS_DB_READ_URL: clients may be shown what is not theirs.",
                    "server %d belongs to another cluster than CTMS_DB_URL", number);
        is_replica = true;
    } else if (*PQgetvalue(result, 0, 0) != 't') {
        doctor_ok(d, "server %d is no replica now, and is left out", number);
    } else {
        is_replica = true;
        if (primary->timeline > 0 && follows(d, db, number, primary))
            judge_lag(d, db, number, primary);
    }
    PQclear(result);
    return is_replica;
}

/* Returns true unless it is certain that the server is no replica. */
static bool
check_server(struct doctor *d, const char *url, int number, const struct primary *primary)
{
    char problem[512];
    bool may_be_replica;
    PGconn *db;

    doctor_begin(d);
    db = doctor_connect(d, DOCTOR_REST, url, problem, sizeof(problem));
    if (!db) {
        doctor_warn(d, MEANWHILE, "server %d: %s", number, problem);
        return true;
    }
    may_be_replica = judge_server(d, db, number, primary);
    PQfinish(db);
    return may_be_replica;
}

void
doctor_check_replicas(struct doctor *d)
{
    const config *rest = d->settings[DOCTOR_REST];
    const char *url = rest ? config_string(rest, "CTMS_DB_READ_URL") : NULL;
    char *urls[CONFIG_READ_HOSTS_MAX];
    struct primary primary = {.cluster = ""};
    bool has_replica = false;
    int count;

    if (!rest) {
        doctor_skip(d, "not checked: needs the settings of ctms-rest");
        return;
    }
    if (!url) {
        doctor_ok(d, "none: ctms-rest reads from CTMS_DB_URL");
        return;
    }
    doctor_begin(d);
    ask_primary(d, &primary);
    count = db_url_split(url, urls, CONFIG_READ_HOSTS_MAX);
    for (int i = 0; i < count; i++) {
        has_replica = check_server(d, urls[i], i + 1, &primary) || has_replica;
        free(urls[i]);
    }
    if (!has_replica)
        doctor_warn(d, "Name streaming replicas of CTMS_DB_URL in it, or take it away.",
                    "CTMS_DB_READ_URL names no replica");
}
