/*
 * job.c: an import at work; see job.h.
 */
#include "test/acoustic-sandbox/job.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/utf8.h"
#include "test/acoustic-sandbox/check.h"
#include "test/acoustic-sandbox/csv.h"
#include "test/acoustic-sandbox/mapping.h"

enum { ROWS_A_LOOK = 16 }; /* at the clock */

const char *const job_status_names[] = {"WAITING", "RUNNING", "COMPLETE", "ERROR", "CANCELED"};
_Static_assert(sizeof(job_status_names) / sizeof(*job_status_names) == JOB_STATUS_COUNT,
               "a status has no name");

struct job_work {
    struct mapping mapping;
    const struct row_columns *columns; /* those that are included */
    struct csv csv;
    int fd;
    FILE *errors;   /* null: could not be written */
    struct row row; /* the one at hand; its memory is used again */
};

double
job_time_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static const char *
table_name(const struct job *job)
{
    return job->table < TABLE_COUNT ? store_table_names[job->table] : "";
}

/* ---- results ---------------------------------------------------------------------- */

/* A file in the download folder, for the owner alone. */
static FILE *
open_result(const struct job_context *context, const struct job *job, const char *suffix)
{
    char name[40], path[SETTINGS_PATH];
    FILE *file = NULL;
    int fd;

    snprintf(name, sizeof(name), "%ld.%s", job->id, suffix);
    settings_path(context->settings, "download", name, path);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd >= 0)
        file = fdopen(fd, "w");
    if (file == NULL) {
        fprintf(stderr, "acoustic-sandbox: could not write \"%s\": %s\n", path, strerror(errno));
        if (fd >= 0)
            close(fd);
    }
    return file;
}

static void
close_result(FILE *file, const struct job *job)
{
    if (fclose(file) != 0)
        fprintf(stderr, "acoustic-sandbox: could not write the results of job %ld\n", job->id);
}

static void
write_results(const struct job_context *context, struct job *job)
{
    const struct job_counts *counts = &job->counts;
    FILE *file = open_result(context, job, "res");

    if (file == NULL)
        return;
    fprintf(file, "JOB_ID: %ld\nJOB_STATUS: %s\nSOURCE_FILE: %s\n", job->id,
            job_status_names[job->status], job->source_file);
    fprintf(file, "TOTAL_ROWS: %ld\nTOTAL_VALID: %ld\nSQL_ADDED: %ld\nSQL_UPDATED: %ld\n",
            counts->total, counts->added + counts->updated, counts->added, counts->updated);
    fprintf(file, "BAD_ADDRESSES: %ld\nBAD_RECORDS: %ld\nNOT_ALLOWED: %ld\nDUPLICATES: 0\n",
            counts->bad_addresses, counts->bad_records, counts->not_allowed);
    close_result(file, job);
    job->has_results = true;
}

static void
free_work(struct job *job)
{
    struct job_work *work = job->work;

    if (work == NULL)
        return;
    if (work->errors != NULL)
        close_result(work->errors, job);
    if (work->fd >= 0)
        close(work->fd);
    csv_close(&work->csv);
    mapping_free(&work->mapping);
    row_free(&work->row);
    free(work);
    job->work = NULL;
}

void
job_free(struct job *job)
{
    free_work(job);
    free(job);
}

/* problem: null when it ends well. */
static void
end(const struct job_context *context, struct job *job, enum job_status status, const char *problem)
{
    job->status = status;
    job->ended_s = job_time_s();
    if (problem != NULL) {
        snprintf(job->description, sizeof(job->description), "%s", problem);
        refusal_add(context->refusals, job->operation, table_name(job), NULL, NULL, problem);
    }
    free_work(job);
    write_results(context, job);
}

/* ---- the start -------------------------------------------------------------------- */

static bool
read_header(struct job_work *work, char *problem, size_t size)
{
    const struct mapping *mapping = &work->mapping;

    if (csv_next(&work->csv) != CSV_RECORD) {
        snprintf(problem, size, "The source file has no header");
        return false;
    }
    if (work->csv.count != mapping->column_count) {
        snprintf(problem, size, "The header has %zu columns, and the mapping %zu", work->csv.count,
                 mapping->column_count);
        return false;
    }
    for (size_t i = 0; i < mapping->column_count; i++) {
        if (strcmp(csv_value(&work->csv, i), mapping->columns[i].name) != 0) {
            snprintf(problem, size, "Column %zu of the header is not %s", i + 1,
                     mapping->columns[i].name);
            return false;
        }
        if (mapping->columns[i].is_included)
            work->columns = row_columns_add(work->columns, mapping->columns[i].name);
    }
    return true;
}

static bool
open_files(const struct job_context *context, struct job *job, char *problem, size_t size)
{
    struct job_work *work = job->work;
    char path[SETTINGS_PATH];

    settings_path(context->settings, "upload", job->source_file, path);
    work->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (work->fd < 0) {
        snprintf(problem, size, "The source file %s does not exist", job->source_file);
        return false;
    }
    settings_path(context->settings, "upload", job->map_file, path);
    mapping_read(&work->mapping, context->settings, path);
    if (work->mapping.problem[0] != '\0') {
        snprintf(problem, size, "Mapping: %s", work->mapping.problem);
        return false;
    }
    job->table = work->mapping.table;
    if (work->mapping.is_list != (strcmp(job->operation, "ImportList") == 0)) {
        snprintf(problem, size, "Mapping: it is not for %s", job->operation);
        return false;
    }
    csv_open(&work->csv, work->fd);
    return read_header(work, problem, size);
}

static void
start_errors(const struct job_context *context, struct job *job)
{
    const struct mapping *mapping = &job->work->mapping;
    buf header = BUF_INIT;

    job->work->errors = open_result(context, job, "err");
    job->has_errors = job->work->errors != NULL;
    if (!job->has_errors)
        return;
    buf_append_string(&header, "LINE,REASON");
    for (size_t i = 0; i < mapping->column_count; i++) {
        buf_append_char(&header, ',');
        csv_add(&header, mapping->columns[i].name);
    }
    fprintf(job->work->errors, "%s\n", buf_text(&header));
    buf_free(&header);
}

void
job_start(const struct job_context *context, struct job *job)
{
    char problem[200];

    job->status = JOB_RUNNING;
    job->started_s = job_time_s();
    job->work = xcalloc(1, sizeof(*job->work));
    job->work->fd = -1;
    if (open_files(context, job, problem, sizeof(problem)))
        start_errors(context, job);
    else
        end(context, job, JOB_ERROR, problem);
}

/* ---- rows ------------------------------------------------------------------------- */

/* row: null when the record could not be made a row. */
static void
refuse(const struct job_context *context, struct job *job, const struct row *row, long *count,
       const char *reason)
{
    const struct csv *csv = &job->work->csv;
    buf record = BUF_INIT;

    ++*count;
    refusal_add(context->refusals, job->operation, table_name(job), row,
                store_table_keys[job->table], reason);
    if (job->work->errors == NULL)
        return;
    buf_printf(&record, "%ld,", csv->line);
    csv_add(&record, reason);
    for (size_t i = 0; i < csv->count; i++) {
        buf_append_char(&record, ',');
        csv_add(&record, csv_value(csv, i));
    }
    fprintf(job->work->errors, "%s\n", buf_text(&record));
    buf_free(&record);
}

static void
store_row(const struct job_context *context, struct job *job, const struct row *row)
{
    struct store *store = context->store;
    struct contact *contact = store_contact(store, row_get(row, "email_id"), true);
    bool is_new;

    if (job->table == TABLE_MAIN) {
        contact->imported++;
        is_new = store_set_recipient(store, contact, row, context->settings->empty_is_kept);
    } else {
        store->counts.rows_before_recipient += !contact->is_recipient;
        is_new = store_set_row(store, contact, job->table,
                               row_get(row, store_table_keys[job->table]), row);
    }
    store->counts.rows_imported[job->table]++;
    job->counts.added += is_new;
    job->counts.updated += !is_new;
}

/* The record as a row of the included columns; valid until the next one. */
static const struct row *
make_row(struct job_work *work)
{
    const struct mapping *mapping = &work->mapping;

    work->row.columns = work->columns;
    work->row.len = 0;
    for (size_t i = 0; i < mapping->column_count; i++) {
        if (mapping->columns[i].is_included)
            row_append_value(&work->row, csv_value(&work->csv, i), csv_length(&work->csv, i));
    }
    return &work->row;
}

static void
take_record(const struct job_context *context, struct job *job)
{
    struct job_work *work = job->work;
    struct job_counts *counts = &job->counts;
    bool is_list = job->table == TABLE_MAIN;
    struct problem problem;
    const struct row *row;
    const struct fault *fault;

    counts->total++;
    if (work->csv.count != work->mapping.column_count) {
        refuse(context, job, NULL, &counts->bad_records, "Wrong number of columns");
        return;
    }
    row = make_row(work);
    fault = fault_find_for_row(&context->settings->faults, context->store, job->operation,
                               job->table, row);
    if (fault != NULL) {
        context->store->counts.faults++;
        refuse(context, job, row, is_list ? &counts->not_allowed : &counts->bad_records,
               fault->text);
    } else if (utf8_valid_prefix(work->row.data, work->row.len) < work->row.len) {
        refuse(context, job, row, &counts->bad_records, "Text is not UTF-8");
    } else if (is_list
                   ? !check_recipient(row_get(row, "email_id"), row, &problem)
                   : !check_keys(job->table, row, &problem) || !check_timestamps(row, &problem)) {
        refuse(context, job, row,
               problem.is_address ? &counts->bad_addresses : &counts->bad_records, problem.text);
    } else {
        store_row(context, job, row);
    }
}

/* False when the file has ended. */
static bool
take_next(const struct job_context *context, struct job *job)
{
    struct csv *csv = &job->work->csv;
    char problem[160];

    switch (csv_next(csv)) {
    case CSV_RECORD: take_record(context, job); return true;
    case CSV_END: break;
    case CSV_BROKEN:
        snprintf(problem, sizeof(problem), "The source file is no CSV from line %ld on: %s",
                 csv->line, csv->problem);
        end(context, job, JOB_ERROR, problem);
        return false;
    }
    if (job->end_after >= 0)
        end(context, job, job->end_status, "The import was ended by a rule");
    else
        end(context, job, JOB_COMPLETE, NULL);
    return false;
}

long
job_step(const struct job_context *context, struct job *job, long max_rows, double until_s)
{
    long rows = 0;

    while (rows < max_rows && (rows % ROWS_A_LOOK != 0 || clock_now_s() < until_s)) {
        if (job->end_after >= 0 && job->counts.total >= job->end_after) {
            end(context, job, job->end_status, "The import was ended by a rule");
            break;
        }
        if (!take_next(context, job))
            break;
        rows++;
    }
    return rows;
}
