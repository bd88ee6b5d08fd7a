/*
 * doctor/doctor.h: what the checks of `ctms doctor` share. cmd_doctor.c runs the checks, one after
 * the other; report.c takes what they found; link.c asks the database and other servers, never
 * longer than the check's time limit.
 *
 * A check reports one finding or several. It never ends the program. What it reports holds no
 * secret: no URL, no password, no value of a contact.
 */
#ifndef CTMS_CLI_DOCTOR_DOCTOR_H
#define CTMS_CLI_DOCTOR_DOCTOR_H

#include <jansson.h>
#include <sys/types.h>
#include "cli/cli.h"

enum doctor_status { DOCTOR_OK, DOCTOR_WARNING, DOCTOR_ERROR, DOCTOR_SKIPPED, DOCTOR_STATUSES };

/* In the order in which their settings are read. */
enum doctor_program { DOCTOR_CLI, DOCTOR_REST, DOCTOR_AGENT, DOCTOR_PROGRAMS };

/* Whom a program connects as, unless its URL says so: the database asks the system who it is. */
struct doctor_user {
    bool is_other; /* than who runs `ctms doctor` */
    uid_t uid;
    gid_t gid;
};

struct doctor {
    struct cli *cli;
    double limit_s;                    /* time limit of a check */
    double old_s;                      /* age at which a transaction is old */
    config *settings[DOCTOR_PROGRAMS]; /* null: not configured here, or wrong */
    struct doctor_user user[DOCTOR_PROGRAMS];
    /* The connections of the programs' CTMS_DB_URL; programs with the same URL and user have the
     * same. Null: not configured here, not reached, or lost. */
    PGconn *db[DOCTOR_PROGRAMS];
    char connect_state[6]; /* SQLSTATE of the last failure of doctor_connect(), or empty */
    bool shares_sessions[DOCTOR_PROGRAMS]; /* a pooler gives them to others too, or may */
    bool is_replica;                       /* the database of doctor_db() is one */
    bool is_installed;                     /* it has the extension */

    const char *check; /* name of the running check */
    double deadline_s; /* when it must have ended, as clock_now_s() */
    bool has_left;     /* a thread was left behind that still waits for another machine */

    int counts[DOCTOR_STATUSES];
    json_t *findings; /* for --json */
    bool is_coloured;
};

/* "ctms", "ctms-rest", "ctms-agent" */
extern const char *const doctor_program_names[DOCTOR_PROGRAMS];

/* ---- report.c -------------------------------------------------------------------- */

/* The message is one line; control characters and invalid bytes become "?". */
void doctor_ok(struct doctor *d, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Not checked; the message says what that would need. */
void doctor_skip(struct doctor *d, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* advice: what to do, a sentence. */
void doctor_warn(struct doctor *d, const char *advice, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void doctor_fail(struct doctor *d, const char *advice, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Prints the summary, or the findings as JSON. */
void doctor_summarize(struct doctor *d);

/* ---- link.c ---------------------------------------------------------------------- */

/* Gives the time limit of a check anew: for each check, and for each program where they differ. */
void doctor_begin(struct doctor *d);

/* Seconds until the deadline; never negative. */
double doctor_time_left(const struct doctor *d);

/*
 * Runs work(job) in a thread. Returns true when it has ended before the deadline; the job is the
 * caller's then. Otherwise the job is left to the thread, and nobody may touch it again.
 */
bool doctor_run(struct doctor *d, void (*work)(void *job), void *job);

/* The URL that the program connects with; null when its settings are not known. */
const char *doctor_url(const struct doctor *d, int program);

/* Whether two programs connect with the same URL as the same user. */
bool doctor_is_same_login(const struct doctor *d, int program, int other);

/* Connects as the program does. Returns null, one line of text, and d->connect_state, when there is
 * no connection before the deadline. */
PGconn *doctor_connect(struct doctor *d, int program, const char *url, char *problem, size_t size);

/*
 * Runs statements, in one message. Returns the first error, or else the last rows, or else the last
 * result; null when the deadline has passed or the connection is lost: it is of no use then.
 */
PGresult *doctor_exec(struct doctor *d, PGconn *db, const char *sql);

/* Prepares a statement; returns as doctor_exec(). */
PGresult *doctor_prepare(struct doctor *d, PGconn *db, const char *name, const char *sql);

/*
 * Runs one query in a read-only transaction of its own, which leaves nothing behind in a session
 * that a pooler gives to others. Returns as doctor_exec().
 */
PGresult *doctor_try_query(struct doctor *d, PGconn *db, const char *sql);

/* The connection for what is the same for all programs: the first that there is; or null. */
PGconn *doctor_db(const struct doctor *d);

/* As doctor_try_query() over doctor_db(). Returns rows; or null, after reporting why. needs says
 * what a role must be, for a role that may not. */
PGresult *doctor_query(struct doctor *d, const char *needs, const char *sql);

/* The message of an error result, or of no result. It is valid as long as both. */
const char *doctor_problem(const PGresult *result, const PGconn *db);

/* Closes it, wherever it is in d->db too. */
void doctor_drop(struct doctor *d, PGconn *db);

/* Whether d->db[program] is there, and no earlier program has the same. */
bool doctor_is_distinct(const struct doctor *d, int program);

/* ---- the checks -------------------------------------------------------------------- */

/* settings.c */
void doctor_check_settings(struct doctor *d);
void doctor_check_secrets(struct doctor *d);
/* access.c */
void doctor_check_database(struct doctor *d);
void doctor_check_roles(struct doctor *d);
/* replicas.c */
void doctor_check_replicas(struct doctor *d);
/* objects.c */
void doctor_check_extension(struct doctor *d);
void doctor_check_triggers(struct doctor *d);
/* policy.c */
void doctor_check_policy(struct doctor *d);
/* parts.c */
void doctor_check_dumps(struct doctor *d);
/* pooler.c */
void doctor_check_pooler(struct doctor *d);
void doctor_check_listen(struct doctor *d);
/* server.c */
void doctor_check_clock(struct doctor *d);
void doctor_check_connections(struct doctor *d);
void doctor_check_autovacuum(struct doctor *d);
void doctor_check_durability(struct doctor *d);
void doctor_check_archiving(struct doctor *d);
void doctor_check_log(struct doctor *d);
void doctor_check_memory(struct doctor *d);
/* work.c */
void doctor_check_queue(struct doctor *d);
void doctor_check_waitlists(struct doctor *d);
void doctor_check_stripe(struct doctor *d);
void doctor_check_snapshots(struct doctor *d);
/* outside.c */
void doctor_check_acoustic(struct doctor *d);
void doctor_check_keys(struct doctor *d);
/* sftp.c */
void doctor_check_sftp(struct doctor *d);

#endif
