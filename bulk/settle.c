/*
 * settle.c: the last stages of a run: gives each refused row to its contact, settles the contacts
 * in the queue, and removes all files.
 *
 * Refused rows come as late as this because a contact that has failed is free when it changes: then
 * an agent might send it before a job imports an older row of it.
 */
#include "bulk/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bulk/folder.h"
#include "bulk/refused.h"
#include "common/clock.h"

enum { FAIL_BATCH = 1000, SETTLE_BATCH = 10000 };
/* A file of refused rows has these rows, and a reason for each: no more than were sent, whatever
 * the job counts. */
static const long long ERRORS_PER_ROW = 1024, ERRORS_MIN = 16 * 1024 * 1024;

/* ---- refused rows -------------------------------------------------------------------- */

/* Rows of error files on their way to the database: three arrays. */
typedef struct batch {
    bulk_run *r;
    buf ids, errors, permanents;
    int count;
    bulk_step step;
} batch;

/* Adds an element of an array. */
static void
append_element(buf *array, const char *text)
{
    buf_append_string(array, array->length == 0 ? "{\"" : ",\"");
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            buf_append_char(array, '\\');
        buf_append_char(array, *text);
    }
    buf_append_char(array, '"');
}

static void
flush_batch(batch *b)
{
    char run_id[24], retries[16];
    const char *parameters[] = {run_id, b->r->options->runner, NULL, NULL, NULL, retries};

    if (b->count == 0 || b->step != BULK_STEP_OK)
        return;
    buf_append_char(&b->ids, '}');
    buf_append_char(&b->errors, '}');
    buf_append_char(&b->permanents, '}');
    parameters[2] = buf_text(&b->ids);
    parameters[3] = buf_text(&b->errors);
    parameters[4] = buf_text(&b->permanents);
    snprintf(run_id, sizeof(run_id), "%lld", b->r->run_id);
    snprintf(retries, sizeof(retries), "%d", b->r->settings->retry_limit);
    b->step = bulk_tables_query(b->r,
                                "SELECT ctms.fail_acoustic_bulk($1::bigint, $2, $3::uuid[],"
                                " $4::text[], $5::boolean[], $6::int)",
                                6, parameters, NULL);
    b->count = 0;
    buf_reset(&b->ids);
    buf_reset(&b->errors);
    buf_reset(&b->permanents);
}

/* A contact with several refused rows keeps the first reason: then the run holds it no more. */
static bool
take_refused(void *arg, const char *email_id, const char *reason, bool is_transient)
{
    batch *b = arg;

    append_element(&b->ids, email_id);
    append_element(&b->errors, reason);
    append_element(&b->permanents, is_transient ? "f" : "t");
    if (++b->count == FAIL_BATCH)
        flush_batch(b);
    if (b->step == BULK_STEP_OK && !bulk_step_tick(b->r))
        b->step = b->r->interruption;
    return b->step == BULK_STEP_OK;
}

static bool
only_count(void *arg, const char *email_id, const char *reason, bool is_transient)
{
    (void)email_id;
    (void)reason;
    (void)is_transient;
    return bulk_step_tick(arg);
}

typedef struct download {
    const bulk_remote *file;
    char path[1024];
} download;

static sftp_result
transfer_errors(bulk_run *r, void *arg, char *message, size_t size)
{
    const download *d = arg;
    long long rows = d->file->refused < d->file->rows ? d->file->refused : d->file->rows;

    return sftp_download(r->sftp, d->file->error_file, d->path,
                         ERRORS_MIN + d->file->bytes * 2 + rows * ERRORS_PER_ROW, message, size);
}

static bulk_step
cannot_tell(bulk_run *r, const bulk_remote *file, const char *why)
{
    return bulk_step_give_up(r, "%lld rows of %s were refused, and it cannot be told which: %s",
                             file->refused, file->kind, why);
}

/* All must be known before the first contact fails: otherwise the run is given up. */
static bulk_step
check_errors(bulk_run *r, const bulk_remote *file, const char *path)
{
    refused_counts counts = {0};
    char message[256], why[160];

    if (!refused_read(path, only_count, r, &counts, message, sizeof(message)))
        return cannot_tell(r, file, message);
    if (r->interruption != BULK_STEP_OK)
        return r->interruption;
    if (counts.unknown == 0 && counts.rows >= file->refused)
        return BULK_STEP_OK;
    snprintf(why, sizeof(why), "the error file has %lld rows, %lld of them without an email_id",
             counts.rows, counts.unknown);
    return cannot_tell(r, file, why);
}

static bulk_step
fail_contacts(bulk_run *r, const bulk_remote *file, const char *path)
{
    batch b = {.r = r, .step = BULK_STEP_OK};
    refused_counts counts = {0};
    char message[256];

    if (!refused_read(path, take_refused, &b, &counts, message, sizeof(message)) &&
        b.step == BULK_STEP_OK)
        b.step = cannot_tell(r, file, message);
    flush_batch(&b);
    buf_free(&b.ids);
    buf_free(&b.errors);
    buf_free(&b.permanents);
    if (b.step == BULK_STEP_OK && counts.rows > 0)
        bulk_step_log(r, LOG_LEVEL_WARNING, "%lld rows of %s were refused", counts.rows,
                      file->kind);
    return b.step;
}

static bool
has_errors(const bulk_remote *file)
{
    return file->state == BULK_FILE_COMPLETE && *file->error_file != '\0';
}

/* Jobs without refused rows may have an error file, or name one that is not there. */
static bulk_step
fetch_errors(bulk_run *r, const bulk_remote *file, const char *path, bool *is_there)
{
    download d = {.file = file};
    char message[256] = "";
    sftp_result result;
    bulk_step step;

    snprintf(d.path, sizeof(d.path), "%s", path);
    step = bulk_step_try_transfer(r, transfer_errors, &d, &result, message, sizeof(message));
    *is_there = step == BULK_STEP_OK && result == SFTP_OK;
    if (step == BULK_STEP_OK && result != SFTP_OK && file->refused > 0)
        step = cannot_tell(r, file, result == SFTP_MISSING ? "there is no error file" : message);
    return step;
}

typedef bulk_step (*error_action)(bulk_run *r, const bulk_remote *file, const char *path);

/* Files are numbered in the folder; main kinds come first, as their reasons do. */
static bulk_step
for_each_errors(bulk_run *r, const char *folder, error_action action)
{
    bulk_step step = BULK_STEP_OK;

    for (int table = 0; table < ACOUSTIC_TABLES; table++) {
        for (int i = 0; i < r->file_count && step == BULK_STEP_OK; i++) {
            char path[1000];

            snprintf(path, sizeof(path), "%s/%d.err", folder, i);
            if ((int)r->files[i].table == table && has_errors(&r->files[i]) &&
                access(path, F_OK) == 0)
                step = action(r, &r->files[i], path);
        }
    }
    return step;
}

static bulk_step
fetch_all_errors(bulk_run *r, const char *folder)
{
    bulk_step step = BULK_STEP_OK;

    for (int i = 0; i < r->file_count && step == BULK_STEP_OK; i++) {
        const bulk_remote *file = &r->files[i];
        char path[1000];
        bool is_there;

        snprintf(path, sizeof(path), "%s/%d.err", folder, i);
        if (has_errors(file))
            step = fetch_errors(r, file, path, &is_there);
        else if (file->state == BULK_FILE_COMPLETE && file->refused > 0)
            step = cannot_tell(r, file, "Acoustic names no error file");
    }
    return step;
}

/* Ids of other contacts, or of other things, say nothing about whom Acoustic has refused. */
static bulk_step
check_refused(bulk_run *r)
{
    bulk_step step = bulk_tables_read_counts(r);

    for (int i = 0; i < r->file_count && step == BULK_STEP_OK && r->refused == 0; i++) {
        if (r->files[i].state == BULK_FILE_COMPLETE && r->files[i].refused > 0)
            step = cannot_tell(r, &r->files[i], "the error files name no contact of the run");
    }
    return step;
}

static bulk_step
settle_refused_in(bulk_run *r, const char *folder)
{
    bulk_step step = fetch_all_errors(r, folder);

    if (step == BULK_STEP_OK)
        step = for_each_errors(r, folder, check_errors);
    if (step == BULK_STEP_OK)
        step = for_each_errors(r, folder, fail_contacts);
    return step == BULK_STEP_OK ? check_refused(r) : step;
}

static bulk_step
settle_refused(bulk_run *r)
{
    char path[900], message[256];
    bool is_needed = false, is_made;
    bulk_step step;
    int folder;

    for (int i = 0; i < r->file_count; i++)
        is_needed |= has_errors(&r->files[i]) || r->files[i].refused > 0;
    if (!is_needed)
        return BULK_STEP_OK;
    if (*r->spool == '\0' && !bulk_files_open_spool(r->settings->directory, r->spool,
                                                    sizeof(r->spool), message, sizeof(message))) {
        *r->spool = '\0';
        snprintf(r->problem, sizeof(r->problem), "%s", message);
        return BULK_STEP_UNAVAILABLE;
    }
    snprintf(path, sizeof(path), "%s/" BULK_FOLDER_PREFIX "%lld-%08llx-errors-%d", r->spool,
             r->run_id, r->generation & 0xffffffff, (int)getpid());
    folder = bulk_folder_make(path, &is_made, message, sizeof(message));
    if (folder < 0) {
        snprintf(r->problem, sizeof(r->problem), "%s", message);
        return BULK_STEP_UNAVAILABLE;
    }
    step = settle_refused_in(r, path);
    bulk_folder_empty(folder);
    rmdir(path);
    close(folder);
    return step;
}

/* ---- contacts ------------------------------------------------------------------------ */

static bulk_step
settle_some(bulk_run *r, long long *settled)
{
    char run_id[24], limit[16];
    const char *parameters[] = {run_id, r->options->runner, limit};
    PGresult *result = NULL;
    bulk_step step;

    snprintf(run_id, sizeof(run_id), "%lld", r->run_id);
    snprintf(limit, sizeof(limit), "%d", SETTLE_BATCH);
    step = bulk_tables_query(r, "SELECT ctms.settle_acoustic_bulk($1::bigint, $2, $3::int)", 3,
                             parameters, &result);
    *settled = step == BULK_STEP_OK ? strtoll(PQgetvalue(result, 0, 0), NULL, 10) : 0;
    PQclear(result);
    return step;
}

static bulk_step
settle_all(bulk_run *r)
{
    long long done = 0, settled;

    do {
        bulk_step step = settle_some(r, &settled);

        if (step != BULK_STEP_OK)
            return step;
        done += settled;
        bulk_step_tell(r, NULL, "contacts", done, r->contacts);
        if (!bulk_step_tick(r))
            return r->interruption;
    } while (settled > 0);
    return bulk_tables_read_counts(r);
}

bulk_step
bulk_settle_contacts(bulk_run *r)
{
    double began_s = clock_now_s();
    bulk_step step = r->is_given_up ? BULK_STEP_OK : settle_refused(r);

    if (step == BULK_STEP_OK)
        step = settle_all(r);
    if (step != BULK_STEP_OK)
        return step;
    bulk_step_log(r, LOG_LEVEL_INFO,
                  "settled in %.1f s: %lld sent, %lld refused, %lld changed, %lld returned",
                  clock_now_s() - began_s, r->sent, r->refused, r->changed, r->returned);
    return bulk_tables_set_state(r, "cleaning");
}

/* ---- files --------------------------------------------------------------------------- */

typedef struct removal {
    char name[140];
    bool is_upload;
} removal;

static sftp_result
transfer_removal(bulk_run *r, void *arg, char *message, size_t size)
{
    const removal *file = arg;

    return file->is_upload ? sftp_remove_upload(r->sftp, file->name, message, size)
                           : sftp_remove_download(r->sftp, file->name, message, size);
}

/* *is_left: it may still be there. */
static bulk_step
remove_one(bulk_run *r, const char *name, const char *ending, bool is_upload, bool *is_left)
{
    removal file = {.is_upload = is_upload};
    char message[256] = "";
    sftp_result result;
    bulk_step step;

    if (*name == '\0')
        return BULK_STEP_OK;
    snprintf(file.name, sizeof(file.name), "%s%s", name, ending);
    step = bulk_step_try_transfer(r, transfer_removal, &file, &result, message, sizeof(message));
    if (step != BULK_STEP_OK || result == SFTP_OK || result == SFTP_MISSING)
        return step;
    *is_left = true;
    bulk_step_log(r, LOG_LEVEL_ERROR, "could not remove %s from the server: %s", file.name,
                  message);
    return BULK_STEP_OK;
}

static bulk_step
remove_remote(bulk_run *r, bulk_remote *file, bool *is_left)
{
    bulk_step step = remove_one(r, file->name, ".csv", true, is_left);

    if (step == BULK_STEP_OK)
        step = remove_one(r, file->name, ".xml", true, is_left);
    if (step == BULK_STEP_OK)
        step = remove_one(r, file->results_file, "", false, is_left);
    if (step == BULK_STEP_OK)
        step = remove_one(r, file->error_file, "", false, is_left);
    if (step != BULK_STEP_OK || *is_left)
        return step;
    file->state = BULK_FILE_REMOVED;
    return bulk_tables_put_file(r, file);
}

/* Says which files are left, as far as there is room. */
static void
note_left(char *left, size_t size, const char *name)
{
    size_t length = strlen(left);

    snprintf(left + length, size - length, "%s%s", length > 0 ? ", " : "", name);
}

/* A run that is given up while it uploads has not read yet which files it has put there. */
bulk_step
bulk_settle_clean(bulk_run *r)
{
    char left[300] = "";
    bulk_step step = bulk_tables_read_files(r);

    for (int i = 0; i < r->file_count && step == BULK_STEP_OK; i++) {
        bool is_left = false;

        bulk_step_tell(r, r->files[i].kind, "files", i, r->file_count);
        if (r->files[i].state == BULK_FILE_REMOVED)
            continue;
        step = remove_remote(r, &r->files[i], &is_left);
        if (is_left)
            note_left(left, sizeof(left), r->files[i].name);
    }
    if (step != BULK_STEP_OK)
        return step;
    if (*left != '\0' && *r->error == '\0')
        snprintf(r->error, sizeof(r->error), "files are left on the SFTP server: %s", left);
    step = bulk_tables_set_state(r, r->is_given_up ? "failed" : "done");
    if (step == BULK_STEP_OK)
        bulk_step_log(r, *left != '\0' ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO, "%s%s%s", r->state,
                      *r->error ? ": " : "", r->error);
    return step;
}
