/*
 * run.c: works on runs, one after another; see run.h. It has the order of the stages, what follows
 * when one of them does not end well, and when there is nothing more to do.
 */
#include "bulk/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bulk/internal.h"
#include "common/buf.h"
#include "common/clock.h"

/* ---- one run -------------------------------------------------------------------------- */

static bulk_step
do_stage(bulk_run *r)
{
    static const struct {
        const char *state;
        bulk_step (*work)(bulk_run *r);
    } stages[] = {
        {"claiming", bulk_stages_claim},    {"making", bulk_stages_make},
        {"uploading", bulk_stages_make},    {"importing", bulk_jobs_import},
        {"settling", bulk_settle_contacts}, {"cleaning", bulk_settle_clean},
    };

    for (size_t i = 0; i < sizeof(stages) / sizeof(*stages); i++) {
        if (strcmp(r->state, stages[i].state) == 0) {
            bulk_step_tell(r, NULL, NULL, 0, 0);
            return stages[i].work(r);
        }
    }
    snprintf(r->problem, sizeof(r->problem), "the run is in state \"%s\", which is not known here",
             r->state);
    return BULK_STEP_UNAVAILABLE;
}

static bool
is_ended(const bulk_run *r)
{
    return strcmp(r->state, "done") == 0 || strcmp(r->state, "failed") == 0;
}

/* A job that goes on would overwrite what agents send of the contacts when they are free. */
static bulk_step
give_up(bulk_run *r)
{
    bulk_step step = BULK_STEP_OK;
    char error[sizeof(r->error)];

    memcpy(error, r->error, sizeof(error));
    bulk_step_log(r, LOG_LEVEL_ERROR, "given up: %s", error);
    r->interruption = BULK_STEP_OK;
    if (strcmp(r->state, "importing") == 0) {
        step = bulk_jobs_await_end(r);
        memcpy(r->error, error, sizeof(error));
    }
    if (step != BULK_STEP_OK && step != BULK_STEP_GIVE_UP)
        return step;
    r->interruption = BULK_STEP_OK;
    r->is_given_up = true;
    return bulk_tables_set_state(r, "settling");
}

static void
note_state(bulk_run *r, const char *word)
{
    bulk_step_log(r, LOG_LEVEL_INFO, "%s in state %s, attempt %d", word, r->state, r->attempt);
}

/* Until the run has ended (BULK_STEP_OK), or we cannot go on. */
static bulk_step
work_on(bulk_run *r)
{
    bulk_step step;

    while (!is_ended(r)) {
        step = r->interruption != BULK_STEP_OK ? r->interruption : do_stage(r);
        if (step == BULK_STEP_GIVE_UP)
            step = give_up(r);
        if (step == BULK_STEP_AGAIN) {
            step = bulk_tables_take_run(r, false);
            if (step == BULK_STEP_OK && r->run_id == 0)
                step = BULK_STEP_LOST;
            else if (step == BULK_STEP_OK)
                note_state(r, "goes on");
        }
        if (step != BULK_STEP_OK)
            return step;
    }
    return BULK_STEP_OK;
}

/* ---- one after another ---------------------------------------------------------------- */

static bulk_outcome
end_with(bulk_run *r, bulk_outcome outcome, const char *message)
{
    if (message != r->problem)
        snprintf(r->problem, sizeof(r->problem), "%s", message);
    return outcome;
}

static bulk_outcome
outcome_of(bulk_run *r, bulk_step step)
{
    switch (step) {
    case BULK_STEP_STOPPED:
        if (r->run_id != 0)
            bulk_step_let_go(r);
        return end_with(r, BULK_STOPPED, "stopped");
    case BULK_STEP_LOST: return end_with(r, BULK_BUSY, "another runner has taken the run over");
    default: break;
    }
    if (r->run_id != 0 && *r->problem != '\0')
        bulk_step_log(r, LOG_LEVEL_ERROR, "cannot go on in state %s: %s", r->state, r->problem);
    return BULK_UNAVAILABLE;
}

/* Adds a run that has ended, and keeps what the next one begins with. */
static bulk_outcome
end_run(bulk_run *r)
{
    bool is_failed = r->is_given_up;

    if (r->contacts > 0) {
        r->result->runs++;
        r->result->sent += r->sent;
        r->result->refused += r->refused;
        r->result->changed += r->changed;
        r->result->returned += r->returned;
    }
    if (r->is_of_others)
        r->is_lane_done = false;
    else if (*r->last_email_id != '\0')
        snprintf(r->cursor, sizeof(r->cursor), "%s", r->last_email_id);
    bulk_step_tell(r, NULL, NULL, 0, 0);
    r->run_id = 0;
    r->conflicts = r->unknown_starts = 0;
    return is_failed ? end_with(r, BULK_FAILED, r->error) : BULK_DONE;
}

/* Before contacts are held: is there any use? */
static bool
check_means(bulk_run *r)
{
    char message[448] = "";

    if (!bulk_files_open_spool(r->settings->directory, r->spool, sizeof(r->spool), message,
                               sizeof(message))) {
        *r->spool = '\0';
        snprintf(r->problem, sizeof(r->problem), "%s", message);
        return false;
    }
    if (bulk_api_log_in(r->api, message, sizeof(message)) != BULK_API_OK) {
        snprintf(r->problem, sizeof(r->problem), "Acoustic: %s", message);
        return false;
    }
    if (sftp_log_in(r->sftp, message, sizeof(message)) != SFTP_OK) {
        snprintf(r->problem, sizeof(r->problem), "%s", message);
        return false;
    }
    return true;
}

/* What goes on at this moment. *is_empty: nothing waits in bulk. */
static bulk_step
look_around(bulk_run *r, bool *is_busy, bool *is_empty)
{
    PGresult *result = NULL;
    bulk_step step = bulk_tables_query(r,
                                       "SELECT s.is_running, s.bulk_backlog, s.run_id, s.runner "
                                       "FROM ctms.acoustic_bulk_status() AS s",
                                       0, NULL, &result);

    if (step == BULK_STEP_OK) {
        *is_busy = PQgetvalue(result, 0, 0)[0] == 't';
        *is_empty = strtoll(PQgetvalue(result, 0, 1), NULL, 10) == 0;
        if (*is_busy)
            snprintf(r->problem, sizeof(r->problem), "run %s is worked on by %s",
                     PQgetvalue(result, 0, 2), PQgetvalue(result, 0, 3));
    }
    PQclear(result);
    return step;
}

/* Takes a run that nobody works on, or begins one. BULK_STEP_OK with a run_id of 0: *outcome says
 * why there is none. */
static bulk_step
next_run(bulk_run *r, bulk_outcome *outcome)
{
    bool is_busy = false, is_empty = false;
    bulk_step step = bulk_tables_take_run(r, false);

    if (step == BULK_STEP_OK && r->run_id != 0) {
        r->is_of_others = true;
        note_state(r, "taken over");
        bulk_step_heed_cancel(r);
        return step;
    }
    if (step == BULK_STEP_OK)
        step = look_around(r, &is_busy, &is_empty);
    if (step != BULK_STEP_OK)
        return step;
    *outcome = is_busy ? BULK_BUSY : r->result->runs > 0 ? BULK_DONE : BULK_IDLE;
    if (is_busy || is_empty || r->is_lane_done || !r->options->may_begin)
        return BULK_STEP_OK;
    if (r->result->runs == 0 && !check_means(r)) {
        *outcome = r->interruption == BULK_STEP_STOPPED ? BULK_STOPPED : BULK_FAILED;
        return BULK_STEP_OK;
    }
    r->is_of_others = false;
    step = bulk_tables_take_run(r, true);
    if (step == BULK_STEP_OK && r->run_id != 0)
        bulk_step_log(r, LOG_LEVEL_INFO, "begins");
    else if (step == BULK_STEP_OK)
        *outcome = end_with(r, BULK_BUSY, "another runner has just begun a run");
    return step;
}

static bulk_outcome
work_on_runs(bulk_run *r)
{
    bulk_outcome outcome = BULK_DONE;

    while (outcome == BULK_DONE) {
        bulk_step step = next_run(r, &outcome);

        if (step == BULK_STEP_OK && r->run_id == 0)
            return outcome;
        outcome = BULK_DONE;
        if (step == BULK_STEP_OK)
            step = work_on(r);
        outcome = step == BULK_STEP_OK ? end_run(r) : outcome_of(r, step);
    }
    return outcome;
}

/* ---- life ----------------------------------------------------------------------------- */

static bool
tick(void *arg)
{
    return bulk_step_tick(arg);
}

/* Others may wait for minutes before they learn that it is the wrong server. */
static void
tell_failing(void *arg)
{
    bulk_run *r = arg;

    bulk_step_log(r, LOG_LEVEL_WARNING, "the database cannot do it, trying again: %s",
                  bulk_database_message(r->db));
}

static bool
set_up(bulk_run *r)
{
    const bulk_options *options = r->options;

    r->db = bulk_database_new(options->db_url, &(bulk_database_events){tick, tell_failing, r});
    r->api = bulk_api_new(options->settings, r->db, options->runner, &(bulk_api_events){tick, r});
    r->sftp = sftp_new(&options->settings->sftp, &(sftp_events){bulk_step_moved, r});
    if (r->api != NULL && r->sftp != NULL)
        return true;
    snprintf(r->problem, sizeof(r->problem), "could not set up libcurl for HTTP and SFTP");
    return false;
}

static void
tear_down(bulk_run *r)
{
    sftp_free(r->sftp);
    bulk_api_free(r->api);
    bulk_database_free(r->db);
    free(r->files);
}

bool
bulk_check(const bulk_options *options, char *message, size_t size)
{
    bulk_run r = {.options = options, .settings = options->settings};
    bool is_usable = set_up(&r) && check_means(&r);

    snprintf(message, size, "%s", r.problem);
    tear_down(&r);
    return is_usable;
}

bulk_outcome
bulk_work(const bulk_options *options, bulk_result *result, char *message, size_t size)
{
    bulk_run r = {.options = options, .settings = options->settings, .result = result};
    bulk_outcome outcome = BULK_UNAVAILABLE;

    memset(result, 0, sizeof(*result));
    if (set_up(&r))
        outcome = work_on_runs(&r);
    snprintf(message, size, "%s", r.problem);
    tear_down(&r);
    return outcome;
}
