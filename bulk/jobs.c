/*
 * jobs.c: has Acoustic import the files of a run, and follows the jobs until they end.
 *
 * Nobody can tell whether a job was started when no answer has arrived. So the file gets another
 * name on the server, and a job is started for that: if there is a first job that has not read the
 * file, it fails for lack of it; if it has read the file, it runs before the second. The same keeps
 * a runner that was thought dead from starting anything: the names that it knows are gone.
 */
#include "bulk/internal.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"

#define START_PAUSE_MIN_S 1.0
#define START_PAUSE_MAX_S 60.0
#define POLL_MIN_S 1.0
enum { FAILED_LOOKS_LOGGED = 20 };

/* ---- new names ---------------------------------------------------------------------- */

typedef struct renaming {
    char from[112], to[112];
} renaming;

static sftp_result
rename_file(bulk_run *r, void *arg, char *message, size_t size)
{
    const renaming *names = arg;

    return sftp_rename(r->sftp, names->from, names->to, message, size);
}

static sftp_result
look_for_file(bulk_run *r, void *arg, char *message, size_t size)
{
    const renaming *names = arg;
    long long bytes;

    return sftp_size(r->sftp, names->to, &bytes, message, size);
}

/* A file without rows is of an earlier attempt, and only there to be removed. */
static bool
is_to_be_started(bulk_run *r, const bulk_remote *file)
{
    return file->state <= BULK_FILE_STARTING && file->rows > 0 && bulk_tables_is_latest(r, file);
}

/* Older rows of the kind have names that the file cannot have: of files that an earlier runner
 * made, perhaps in part, before these were made anew. */
static bool
is_last_name(const bulk_remote *file)
{
    return file->state == BULK_FILE_UPLOADED || file->state == BULK_FILE_STARTING;
}

/* An earlier attempt may have been ended between its two renamings, or before it heard of one. So
 * the file may have any name back to the one under which it was known to be there, or the new one
 * already. */
static bulk_step
find_and_rename(bulk_run *r, const bulk_remote *file, const char *ending)
{
    char message[256] = "";
    renaming names;
    sftp_result result = SFTP_MISSING;
    bulk_step step = BULK_STEP_OK;

    snprintf(names.to, sizeof(names.to), "%s%s", file->name, ending);
    for (int i = 0; i < r->file_count && step == BULK_STEP_OK && result == SFTP_MISSING; i++) {
        const bulk_remote *old = &r->files[i];

        if (strcmp(old->kind, file->kind) != 0 || old->state == BULK_FILE_REMOVED)
            continue;
        snprintf(names.from, sizeof(names.from), "%s%s", old->name, ending);
        step = bulk_step_try_transfer(r, rename_file, &names, &result, message, sizeof(message));
        if (is_last_name(old))
            break;
    }
    if (step == BULK_STEP_OK && result == SFTP_MISSING)
        step = bulk_step_try_transfer(r, look_for_file, &names, &result, message, sizeof(message));
    if (step == BULK_STEP_OK && result == SFTP_MISSING)
        return bulk_step_give_up(r, "a file of kind %s is gone from the server", file->kind);
    if (step == BULK_STEP_OK && result != SFTP_OK)
        return bulk_step_give_up(r, "could not rename a file on the server: %s", message);
    return step;
}

/* The old names are done with when the new row says that both files have the new one. Those of
 * other files are left to cleaning. */
static bulk_step
forget_names(bulk_run *r, const bulk_remote *file)
{
    bulk_step step = BULK_STEP_OK;

    for (int i = 0; i < r->file_count && step == BULK_STEP_OK; i++) {
        bulk_remote *old = &r->files[i];
        bool is_last = is_last_name(old);

        if (strcmp(old->kind, file->kind) != 0 || old->state == BULK_FILE_REMOVED)
            continue;
        step = bulk_tables_forget_file(r, old);
        if (is_last)
            break;
    }
    return step;
}

/* Gives the files of an earlier attempt the names of this one. */
static bulk_step
adopt_file(bulk_run *r, const bulk_remote *latest)
{
    bulk_remote file = *latest;
    bulk_step step;

    file.attempt = r->attempt;
    file.state = BULK_FILE_MADE;
    snprintf(file.name, sizeof(file.name), "ctms_%lld_%08llx_%d_%s", r->run_id,
             r->generation & 0xffffffff, r->attempt, file.kind);
    /* Whoever cleans must know the new name before there is such a file. */
    step = bulk_tables_put_file(r, &file);
    if (step == BULK_STEP_OK)
        step = find_and_rename(r, &file, ".csv");
    if (step == BULK_STEP_OK)
        step = find_and_rename(r, &file, ".xml");
    file.state = BULK_FILE_UPLOADED;
    if (step == BULK_STEP_OK)
        step = bulk_tables_put_file(r, &file);
    return step == BULK_STEP_OK ? forget_names(r, &file) : step;
}

static bulk_step
adopt_files(bulk_run *r)
{
    bulk_step step = BULK_STEP_OK;

    for (int i = 0; i < r->file_count && step == BULK_STEP_OK; i++) {
        const bulk_remote *file = &r->files[i];

        if (is_to_be_started(r, file) && file->attempt < r->attempt)
            step = adopt_file(r, file);
    }
    return step == BULK_STEP_OK ? bulk_tables_read_files(r) : step;
}

/* ---- starting ----------------------------------------------------------------------- */

typedef struct start {
    bulk_run *r;
    bulk_remote *file;
    bulk_step step;
} start;

/* Directly before the request is sent. Putting the row may have taken long, so it is asked once
 * more whether the run is ours and its contacts are held. */
static bool
mark_starting(void *arg)
{
    start *s = arg;

    s->step = bulk_step_renew(s->r);
    if (s->step != BULK_STEP_OK)
        return false;
    s->file->state = BULK_FILE_STARTING;
    s->step = bulk_tables_put_file(s->r, s->file);
    s->r->is_started |= s->step == BULK_STEP_OK;
    if (s->step == BULK_STEP_OK)
        s->step = bulk_step_renew(s->r);
    return s->step == BULK_STEP_OK;
}

static bulk_api_result
ask_for_job(start *s, acoustic_job *job, char *message, size_t size)
{
    char map_file[112], csv_file[112];
    buf body = BUF_INIT;

    snprintf(map_file, sizeof(map_file), "%s.xml", s->file->name);
    snprintf(csv_file, sizeof(csv_file), "%s.csv", s->file->name);
    acoustic_import_start(&body, s->file->table, map_file, csv_file);
    return bulk_api_call(s->r->api, &body, mark_starting, s, job, message, size);
}

static bulk_step
take_job(bulk_run *r, bulk_remote *file, const acoustic_job *job)
{
    file->state = BULK_FILE_RUNNING;
    snprintf(file->job_id, sizeof(file->job_id), "%s", job->job_id);
    bulk_step_log(r, LOG_LEVEL_INFO, "Acoustic imports %s: %lld rows, job %s", file->kind,
                  file->rows, file->job_id);
    return bulk_tables_put_file(r, file);
}

static bulk_step
fail_file(bulk_run *r, bulk_remote *file, const char *error)
{
    file->state = BULK_FILE_FAILED;
    snprintf(file->error, sizeof(file->error), "%s", error);
    bulk_step_log(r, LOG_LEVEL_ERROR, "the import of %s has failed: %s", file->kind, error);
    return bulk_tables_put_file(r, file);
}

/* Perhaps there is a job. The next attempt has other names. There is no use in giving the run up as
 * long as its contacts cannot be free. */
static bulk_step
start_anew(bulk_run *r, const bulk_remote *file, const char *message)
{
    bulk_step step;

    bulk_step_log(r, LOG_LEVEL_WARNING,
                  "not known whether the import of %s was started, starting it under another name: "
                  "%s",
                  file->kind, message);
    step = bulk_step_wait(
        r, clock_backoff_s(START_PAUSE_MIN_S, START_PAUSE_MAX_S, r->unknown_starts++));
    return step == BULK_STEP_OK ? BULK_STEP_AGAIN : step;
}

static bulk_step
start_job(bulk_run *r, bulk_remote *file)
{
    start s = {.r = r, .file = file};
    char message[256];

    for (int failures = 0;; failures++) {
        acoustic_job job = {.job_id = ""};
        bulk_api_result result = ask_for_job(&s, &job, message, sizeof(message));
        bulk_step step = BULK_STEP_OK;

        switch (result) {
        case BULK_API_OK:
            if (*job.job_id != '\0')
                return take_job(r, file, &job);
            return start_anew(r, file, "the answer names no job");
        case BULK_API_UNKNOWN: return start_anew(r, file, message);
        case BULK_API_ENDED:
            return s.step != BULK_STEP_OK            ? s.step
                   : r->interruption != BULK_STEP_OK ? r->interruption
                                                     : BULK_STEP_STOPPED;
        case BULK_API_REFUSED:
            step = fail_file(r, file, message);
            return step == BULK_STEP_OK
                       ? bulk_step_give_up(r, "could not start the import of %s: %s", file->kind,
                                           message)
                       : step;
        case BULK_API_NOT_DONE: break;
        }
        if (failures % 10 == 0)
            bulk_step_log(r, LOG_LEVEL_WARNING, "could not start the import of %s yet: %s",
                          file->kind, message);
        step = bulk_step_wait(r, clock_backoff_s(START_PAUSE_MIN_S, START_PAUSE_MAX_S, failures));
        if (step != BULK_STEP_OK)
            return step;
    }
}

/* ---- following ---------------------------------------------------------------------- */

static long long
counted(long long count)
{
    return count > 0 ? count : 0;
}

static void
copy_names(bulk_remote *file, const acoustic_job *job)
{
    if (*job->results_file != '\0')
        snprintf(file->results_file, sizeof(file->results_file), "%s", job->results_file);
    if (*job->error_file != '\0')
        snprintf(file->error_file, sizeof(file->error_file), "%s", job->error_file);
}

static bulk_step
complete_file(bulk_run *r, bulk_remote *file, const acoustic_job *job)
{
    char error[200];

    file->refused =
        counted(job->bad_addresses) + counted(job->bad_records) + counted(job->not_allowed);
    if (job->total_rows >= 0 && job->total_rows + file->refused < file->rows) {
        snprintf(error, sizeof(error), "the job has read %lld of %lld rows", job->total_rows,
                 file->rows);
        return fail_file(r, file, error);
    }
    file->state = BULK_FILE_COMPLETE;
    bulk_step_log(r, LOG_LEVEL_INFO, "imported %s: %lld rows, %lld of them refused", file->kind,
                  file->rows, file->refused);
    return bulk_tables_put_file(r, file);
}

/* Acoustic's words for people; they may quote a row. */
static void
describe_end(const acoustic_job *job, char *error, size_t size)
{
    const char *word = job->state == ACOUSTIC_JOB_ERROR ? "ERROR" : "CANCELED";
    bool is_shown = *job->description != '\0' && strchr(job->description, '@') == NULL;

    snprintf(error, size, "the job has ended with %s%s%s", word, is_shown ? ": " : "",
             is_shown ? job->description : "");
}

/* An answer that refuses to tell says nothing of the job: it may run all the same. */
static bulk_step
look_at_job(bulk_run *r, bulk_remote *file)
{
    char message[256], error[256];
    acoustic_job job = {.job_id = ""};
    buf body = BUF_INIT;
    bulk_api_result result;

    acoustic_import_ask(&body, file->job_id);
    result = bulk_api_call(r->api, &body, NULL, NULL, &job, message, sizeof(message));
    if (result == BULK_API_ENDED)
        return r->interruption;
    if (result != BULK_API_OK) {
        if (++file->failed_looks % FAILED_LOOKS_LOGGED == 1)
            bulk_step_log(r, result == BULK_API_REFUSED ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING,
                          "could not ask for job %s: %s", file->job_id, message);
        return BULK_STEP_OK;
    }
    file->failed_looks = 0;
    copy_names(file, &job);
    switch (job.state) {
    case ACOUSTIC_JOB_COMPLETE: return complete_file(r, file, &job);
    case ACOUSTIC_JOB_ERROR:
    case ACOUSTIC_JOB_CANCELED:
        describe_end(&job, error, sizeof(error));
        return fail_file(r, file, error);
    default: return BULK_STEP_OK;
    }
}

static void
tell_rows(bulk_run *r)
{
    const char *kind = NULL;
    long long done = 0, total = 0;

    for (int i = 0; i < r->file_count; i++) {
        const bulk_remote *file = &r->files[i];

        if (!bulk_tables_is_latest(r, file))
            continue;
        total += file->rows;
        done += file->state == BULK_FILE_COMPLETE ? file->rows : 0;
        if (file->state == BULK_FILE_RUNNING && kind == NULL)
            kind = file->kind;
    }
    bulk_step_tell(r, kind, "rows", done, total);
}

/* Looks once at every job that is known to run; returns how many still do. */
static bulk_step
look_at_jobs(bulk_run *r, int *running)
{
    *running = 0;
    for (int i = 0; i < r->file_count; i++) {
        bulk_remote *file = &r->files[i];
        bulk_step step;

        if (file->state != BULK_FILE_RUNNING)
            continue;
        step = look_at_job(r, file);
        if (step != BULK_STEP_OK)
            return step;
        *running += file->state == BULK_FILE_RUNNING;
    }
    return BULK_STEP_OK;
}

static bulk_step
follow_jobs(bulk_run *r)
{
    double wait_s = r->settings->poll_s < POLL_MIN_S ? r->settings->poll_s : POLL_MIN_S;

    for (;;) {
        int running;
        bulk_step step = look_at_jobs(r, &running);

        tell_rows(r);
        if (step != BULK_STEP_OK || running == 0)
            return step;
        step = bulk_step_wait(r, wait_s);
        if (step != BULK_STEP_OK)
            return step;
        wait_s = wait_s * 2 < r->settings->poll_s ? wait_s * 2 : r->settings->poll_s;
    }
}

/* ---- the order ---------------------------------------------------------------------- */

static bulk_step
check_failures(bulk_run *r)
{
    for (int i = 0; i < r->file_count; i++) {
        const bulk_remote *file = &r->files[i];

        if (file->state == BULK_FILE_FAILED && bulk_tables_is_latest(r, file))
            return bulk_step_give_up(r, "import of %s: %s", file->kind, file->error);
    }
    return BULK_STEP_OK;
}

/* What is missing now was changed by hand. Contacts whose rows were not imported are not sent. */
static bulk_step
check_complete(bulk_run *r)
{
    if (r->file_count == 0)
        return bulk_step_give_up(r, "the files of the run are not known any more");
    for (int i = 0; i < r->file_count; i++) {
        const bulk_remote *file = &r->files[i];

        if (file->state != BULK_FILE_COMPLETE && bulk_tables_is_latest(r, file))
            return bulk_step_give_up(r, "the file of kind %s was not imported", file->kind);
    }
    return BULK_STEP_OK;
}

static bulk_step
import_group(bulk_run *r, bool is_main)
{
    bulk_step step = BULK_STEP_OK;

    for (int i = 0; i < r->file_count && step == BULK_STEP_OK; i++) {
        bulk_remote *file = &r->files[i];

        if ((file->table == ACOUSTIC_MAIN) == is_main && is_to_be_started(r, file))
            step = start_job(r, file);
    }
    if (step == BULK_STEP_OK)
        step = follow_jobs(r);
    return step == BULK_STEP_OK ? check_failures(r) : step;
}

bulk_step
bulk_jobs_import(bulk_run *r)
{
    double began_s = clock_now_s();
    bulk_step step = adopt_files(r);

    /* Rows of the other tables need the contacts. */
    if (step == BULK_STEP_OK)
        step = import_group(r, true);
    if (step == BULK_STEP_OK)
        step = import_group(r, false);
    if (step == BULK_STEP_OK)
        step = check_complete(r);
    if (step == BULK_STEP_OK)
        bulk_step_log(r, LOG_LEVEL_INFO, "imported everything in %.1f s", clock_now_s() - began_s);
    return step == BULK_STEP_OK ? bulk_tables_set_state(r, "settling") : step;
}

/* ---- giving up ---------------------------------------------------------------------- */

/* Jobs run in the order of their start. So the end of a later one is that of the unknown one. */
static bool
may_run(bulk_run *r, const bulk_remote *file)
{
    const bulk_remote *last = bulk_tables_find_file(r, file->kind);

    return bulk_tables_is_job_unknown(file) && last->state != BULK_FILE_COMPLETE &&
           (last->state != BULK_FILE_FAILED || *last->job_id == '\0');
}

static sftp_result
remove_source(bulk_run *r, void *arg, char *message, size_t size)
{
    return sftp_remove_upload(r->sftp, arg, message, size);
}

/* A job that has not read its file yet fails for lack of it. What cannot be removed is not worth
 * the time: cleaning tries again. */
static bulk_step
remove_sources(bulk_run *r)
{
    for (int i = 0; i < r->file_count; i++) {
        char name[112], message[256];
        sftp_result result;
        bulk_step step;

        if (r->files[i].state == BULK_FILE_REMOVED)
            continue;
        snprintf(name, sizeof(name), "%s.csv", r->files[i].name);
        step = bulk_step_try_transfer(r, remove_source, name, &result, message, sizeof(message));
        if (step != BULK_STEP_OK && step != BULK_STEP_GIVE_UP)
            return step;
        r->interruption = BULK_STEP_OK;
    }
    return BULK_STEP_OK;
}

bulk_step
bulk_jobs_await_end(bulk_run *r)
{
    bulk_step step = remove_sources(r);
    bool is_unknown = false;

    if (step == BULK_STEP_OK)
        step = follow_jobs(r);
    for (int i = 0; i < r->file_count; i++)
        is_unknown |= may_run(r, &r->files[i]);
    if (step != BULK_STEP_OK || !is_unknown)
        return step;
    bulk_step_log(r, LOG_LEVEL_WARNING,
                  "holds its contacts for %.0f s: nobody knows whether a job has begun to import",
                  bulk_step_time_left_s(r));
    return bulk_step_wait(r, bulk_step_time_left_s(r));
}
