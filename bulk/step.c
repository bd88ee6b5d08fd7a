/* step.c: what all stages of a run do again and again; see internal.h. */
#include "bulk/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"

#define PROGRESS_S 0.5
/* The time limit of a renewal while something else goes on. */
#define RENEWAL_S 2.0
#define SLICE_S 0.1
#define TRANSFER_PAUSE_MIN_S 1.0
#define TRANSFER_PAUSE_MAX_S 60.0

/* ---- text --------------------------------------------------------------------------- */

void
bulk_step_log(bulk_run *r, log_level level, const char *format, ...)
{
    char text[700];
    int length = r->run_id != 0 ? snprintf(text, sizeof(text), "run %lld: ", r->run_id) : 0;
    va_list args;

    if (r->options->log == NULL)
        return;
    va_start(args, format);
    vsnprintf(text + length, sizeof(text) - (size_t)length, format, args);
    va_end(args);
    r->options->log(r->options->arg, level, text);
}

bulk_step
bulk_step_give_up(bulk_run *r, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(r->error, sizeof(r->error), format, args);
    va_end(args);
    return BULK_STEP_GIVE_UP;
}

void
bulk_step_tell(bulk_run *r, const char *detail, const char *unit, long long done, long long total)
{
    if (detail != NULL && detail != r->detail)
        snprintf(r->detail, sizeof(r->detail), "%s", detail);
    r->progress = (bulk_progress){.run_id = r->run_id,
                                  .state = r->state,
                                  .detail = detail != NULL ? r->detail : NULL,
                                  .unit = unit,
                                  .done = done,
                                  .total = total,
                                  .contacts = r->contacts};
    if (r->options->progress != NULL)
        r->options->progress(r->options->arg, &r->progress);
    r->progress_at_s = clock_now_s() + PROGRESS_S;
}

/* ---- time --------------------------------------------------------------------------- */

double
bulk_step_time_left_s(const bulk_run *r)
{
    return r->hold_end_s - clock_now_s();
}

/* Too little of the time is left for which the contacts are held. */
static bool
is_late(const bulk_run *r)
{
    /* What is needed to settle the contacts. */
    double margin_s = r->settings->timeout_s / 10 < 60 ? r->settings->timeout_s / 10 : 60;

    return bulk_step_time_left_s(r) < margin_s;
}

/* Nothing that Acoustic has done yet needs to be settled. */
static bool
is_before_settling(const bulk_run *r)
{
    return strcmp(r->state, "settling") != 0 && strcmp(r->state, "cleaning") != 0;
}

static void
interrupt(bulk_run *r, bulk_step why)
{
    if (r->interruption == BULK_STEP_OK)
        r->interruption = why;
}

/* A run that Acoustic may have begun to import is not canceled. */
void
bulk_step_heed_cancel(bulk_run *r)
{
    if (r->is_canceled && !r->is_started && !r->is_given_up && is_before_settling(r)) {
        bulk_step_give_up(r, "canceled by an operator");
        interrupt(r, BULK_STEP_GIVE_UP);
    }
}

static void
heed_time(bulk_run *r)
{
    if (r->interruption != BULK_STEP_OK || !is_before_settling(r) || !is_late(r))
        return;
    bulk_step_give_up(r, "not done in time (CTMS_ACOUSTIC_BULK_TIMEOUT_S): state %s", r->state);
    interrupt(r, BULK_STEP_GIVE_UP);
}

/* Returns false when the database has not told. */
static bool
take_renewal(bulk_run *r, const PGresult *result)
{
    if (result == NULL)
        return false;
    r->renew_at_s = clock_now_s() + r->settings->lease_s / 4;
    /* Whether the contacts are free is up to the clock of the database. */
    if (!PQgetisnull(result, 0, 2))
        r->hold_end_s = clock_now_s() + strtod(PQgetvalue(result, 0, 2), NULL);
    if (PQgetvalue(result, 0, 0)[0] != 't')
        interrupt(r, BULK_STEP_LOST);
    r->is_canceled = PQgetvalue(result, 0, 1)[0] == 't';
    bulk_step_heed_cancel(r);
    heed_time(r);
    return true;
}

static const char renewal_statement[] =
    "SELECT ctms.keep_acoustic_bulk($1::bigint, $2, make_interval(secs => $3::float8)),"
    " r.is_canceled, extract(epoch FROM r.hold_until - clock_timestamp())"
    " FROM (VALUES (1)) AS one LEFT JOIN ctms.get_acoustic_bulk_run($1::bigint) AS r ON true";

typedef struct renewal {
    char run_id[24], lease[32];
    const char *values[3];
} renewal;

static void
fill_renewal(renewal *p, const bulk_run *r, double lease_s)
{
    snprintf(p->run_id, sizeof(p->run_id), "%lld", r->run_id);
    snprintf(p->lease, sizeof(p->lease), "%.3f", lease_s);
    p->values[0] = p->run_id;
    p->values[1] = r->options->runner;
    p->values[2] = p->lease;
}

bulk_step
bulk_step_renew(bulk_run *r)
{
    renewal p = {.run_id = ""};
    PGresult *result = NULL;
    bulk_step step;

    fill_renewal(&p, r, r->settings->lease_s);
    step = bulk_tables_query(r, renewal_statement, 3, p.values, &result);
    if (step == BULK_STEP_OK) {
        take_renewal(r, result);
        step = r->interruption;
    }
    PQclear(result);
    return step;
}

/* While something else goes on, the database is not waited for. */
static void
renew_in_passing(bulk_run *r)
{
    renewal p = {.run_id = ""};
    PGresult *result = NULL;
    double limit_s = r->settings->lease_s / 4 < RENEWAL_S ? r->settings->lease_s / 4 : RENEWAL_S;
    bulk_database_result outcome;

    fill_renewal(&p, r, r->settings->lease_s);
    outcome = bulk_database_try(r->db, limit_s, renewal_statement, 3, p.values, &result);
    if (!take_renewal(r, result))
        r->renew_at_s = clock_now_s() + limit_s;
    PQclear(result);
    /* No right to, or the extension is gone: waiting does not help. */
    if (outcome == BULK_DATABASE_REFUSED) {
        snprintf(r->problem, sizeof(r->problem), "%s", bulk_database_message(r->db));
        interrupt(r, BULK_STEP_UNAVAILABLE);
    }
}

void
bulk_step_let_go(bulk_run *r)
{
    renewal p = {.run_id = ""};
    PGresult *result = NULL;

    fill_renewal(&p, r, 0.001);
    bulk_database_try(r->db, RENEWAL_S, renewal_statement, 3, p.values, &result);
    PQclear(result);
}

bool
bulk_step_tick(bulk_run *r)
{
    double now_s = clock_now_s();

    if (r->options->is_stopping != NULL && r->options->is_stopping(r->options->arg))
        interrupt(r, BULK_STEP_STOPPED);
    if (r->run_id != 0 && now_s >= r->progress_at_s)
        bulk_step_tell(r, r->progress.detail, r->progress.unit, r->progress.done,
                       r->progress.total);
    if (r->run_id != 0 && r->interruption == BULK_STEP_OK && now_s >= r->renew_at_s &&
        !bulk_database_is_busy(r->db))
        renew_in_passing(r);
    if (r->run_id != 0)
        heed_time(r);
    return r->interruption == BULK_STEP_OK;
}

/* Results that come when the contacts are free: a slow server could take days for them. */
static bool
is_pointless(const bulk_run *r)
{
    return strcmp(r->state, "settling") == 0 && bulk_step_time_left_s(r) <= 0;
}

bool
bulk_step_moved(void *run, long long done, long long total)
{
    bulk_run *r = run;

    (void)total;
    if (strcmp(r->state, "uploading") == 0)
        r->progress.done = r->moved_before + done;
    return bulk_step_tick(r) && !is_pointless(r);
}

bulk_step
bulk_step_wait(bulk_run *r, double seconds)
{
    double end_s = clock_now_s() + seconds;
    struct timespec slice;

    while (bulk_step_tick(r)) {
        double left_s = end_s - clock_now_s();

        if (left_s <= 0)
            return BULK_STEP_OK;
        left_s = left_s < SLICE_S ? left_s : SLICE_S;
        slice = (struct timespec){.tv_nsec = (long)(left_s * 1e9)};
        nanosleep(&slice, NULL);
    }
    return r->interruption;
}

/* ---- transfers ---------------------------------------------------------------------- */

bulk_step
bulk_step_try_transfer(bulk_run *r, bulk_step_transfer transfer, void *arg, sftp_result *result,
                       char *message, size_t size)
{
    for (int failures = 0;; failures++) {
        bulk_step step;

        *result = transfer(r, arg, message, size);
        if (*result == SFTP_STOPPED && r->interruption == BULK_STEP_OK && is_pointless(r)) {
            snprintf(message, size, "the time of the run is over (CTMS_ACOUSTIC_BULK_TIMEOUT_S)");
            *result = SFTP_TRANSIENT;
            return BULK_STEP_OK;
        }
        if (*result == SFTP_STOPPED)
            return r->interruption != BULK_STEP_OK ? r->interruption : BULK_STEP_STOPPED;
        if (*result != SFTP_TRANSIENT || bulk_step_time_left_s(r) <= 0)
            return BULK_STEP_OK;
        if (failures % 10 == 0)
            bulk_step_log(r, LOG_LEVEL_WARNING, "the SFTP server fails, trying again: %s", message);
        step = bulk_step_wait(
            r, clock_backoff_s(TRANSFER_PAUSE_MIN_S, TRANSFER_PAUSE_MAX_S, failures));
        if (step != BULK_STEP_OK)
            return step;
    }
}
