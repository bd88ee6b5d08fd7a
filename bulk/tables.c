/* tables.c: what is kept of a run in ctms.acoustic_bulk_run and ctms.acoustic_bulk_file. Each call
 * is a transaction; see internal.h. */
#include "bulk/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/clock.h"

static const char *const state_names[] = {"made",     "uploaded", "starting", "running",
                                          "complete", "failed",   "removed"};

/* The error of a file whose name is done with, so that who takes over knows of such a job too. */
#define UNKNOWN_JOB "nobody knows whether its import was started"

/* ---- runs ----------------------------------------------------------------------------- */

bulk_step
bulk_tables_query(bulk_run *r, const char *sql, int count, const char *const *parameters,
                  PGresult **result)
{
    PGresult *taken = NULL;

    switch (bulk_database_query(r->db, sql, count, parameters, &taken)) {
    case BULK_DATABASE_OK: break;
    case BULK_DATABASE_STOPPED:
        return r->interruption != BULK_STEP_OK ? r->interruption : BULK_STEP_STOPPED;
    case BULK_DATABASE_REFUSED:
        /* What is only for the runner of a run in a certain state. */
        if (r->run_id != 0 && strcmp(bulk_database_state(r->db), "55000") == 0)
            return r->interruption = BULK_STEP_LOST;
        /* fall through */
    default:
        snprintf(r->problem, sizeof(r->problem), "%s", bulk_database_message(r->db));
        return BULK_STEP_UNAVAILABLE;
    }
    if (result != NULL)
        *result = taken;
    else
        PQclear(taken);
    return BULK_STEP_OK;
}

/* A statement whose one value is false when the run is no longer ours. */
static bulk_step
query_ours(bulk_run *r, const char *sql, int count, const char *const *parameters)
{
    PGresult *result = NULL;
    bulk_step step = bulk_tables_query(r, sql, count, parameters, &result);

    if (step == BULK_STEP_OK && PQgetvalue(result, 0, 0)[0] != 't')
        step = r->interruption = BULK_STEP_LOST;
    PQclear(result);
    return step;
}

static void
copy_text(char *to, size_t size, const PGresult *result, int row, int column)
{
    snprintf(to, size, "%s", PQgetvalue(result, row, column));
}

static long long
number_at(const PGresult *result, int row, int column)
{
    return strtoll(PQgetvalue(result, row, column), NULL, 10);
}

static void
read_run(bulk_run *r, const PGresult *result)
{
    r->run_id = number_at(result, 0, 0);
    copy_text(r->state, sizeof(r->state), result, 0, 1);
    r->attempt = (int)number_at(result, 0, 2);
    r->generation = (unsigned long long)number_at(result, 0, 3);
    copy_text(r->last_email_id, sizeof(r->last_email_id), result, 0, 4);
    r->contacts = number_at(result, 0, 5);
    r->is_given_up = PQgetvalue(result, 0, 6)[0] == 't';
    r->is_canceled = PQgetvalue(result, 0, 7)[0] == 't';
    copy_text(r->error, sizeof(r->error), result, 0, 8);
    r->sent = number_at(result, 0, 10);
    r->refused = number_at(result, 0, 11);
    r->changed = number_at(result, 0, 12);
    r->returned = number_at(result, 0, 13);
    r->hold_end_s = clock_now_s() + strtod(PQgetvalue(result, 0, 9), NULL);
    r->renew_at_s = clock_now_s() + r->settings->lease_s / 4;
}

bulk_step
bulk_tables_take_run(bulk_run *r, bool may_begin)
{
    char lease[32], hold[32];
    const char *parameters[] = {r->options->runner, lease, hold, may_begin ? "true" : "false"};
    PGresult *result = NULL;
    bulk_step step;

    snprintf(lease, sizeof(lease), "%.3f", r->settings->lease_s);
    snprintf(hold, sizeof(hold), "%.3f", r->settings->timeout_s);
    r->run_id = 0;
    step = bulk_tables_query(
        r,
        "SELECT r.run_id, r.state, r.attempt, r.generation, r.last_email_id, r.contacts,"
        " r.is_given_up, r.is_canceled, r.error,"
        " extract(epoch FROM r.hold_until - clock_timestamp()), r.sent, r.refused, r.changed,"
        " r.returned"
        " FROM ctms.begin_acoustic_bulk($1, make_interval(secs => $2::float8),"
        " make_interval(secs => $3::float8), $4::boolean) AS r",
        4, parameters, &result);
    if (step == BULK_STEP_OK && PQntuples(result) > 0)
        read_run(r, result);
    PQclear(result);
    r->is_started = false;
    return step == BULK_STEP_OK && r->run_id != 0 ? bulk_tables_read_files(r) : step;
}

bulk_step
bulk_tables_read_counts(bulk_run *r)
{
    char run_id[24];
    const char *parameters[] = {run_id};
    PGresult *result = NULL;
    bulk_step step;

    snprintf(run_id, sizeof(run_id), "%lld", r->run_id);
    step = bulk_tables_query(r,
                             "SELECT r.sent, r.refused, r.changed, r.returned"
                             " FROM ctms.get_acoustic_bulk_run($1::bigint) AS r",
                             1, parameters, &result);
    if (step == BULK_STEP_OK && PQntuples(result) > 0) {
        r->sent = number_at(result, 0, 0);
        r->refused = number_at(result, 0, 1);
        r->changed = number_at(result, 0, 2);
        r->returned = number_at(result, 0, 3);
    }
    PQclear(result);
    return step;
}

bulk_step
bulk_tables_set_state(bulk_run *r, const char *state)
{
    char run_id[24];
    const char *parameters[] = {run_id, r->options->runner, state, *r->error ? r->error : NULL,
                                r->is_given_up ? "true" : "false"};
    bulk_step step;

    snprintf(run_id, sizeof(run_id), "%lld", r->run_id);
    step = query_ours(r, "SELECT ctms.set_acoustic_bulk_state($1::bigint, $2, $3, $4, $5::boolean)",
                      5, parameters);
    if (step == BULK_STEP_OK)
        snprintf(r->state, sizeof(r->state), "%s", state);
    return step;
}

/* ---- files -------------------------------------------------------------------------- */

static bulk_file_state
state_of(const char *name)
{
    bulk_file_state state = BULK_FILE_MADE;

    while (state < BULK_FILE_REMOVED && strcmp(state_names[state], name) != 0)
        state++;
    return state;
}

/* "main_amo" is a file for the main table. */
static acoustic_table
table_of(const char *kind)
{
    acoustic_table table;

    return acoustic_table_find(kind, &table) ? table : ACOUSTIC_MAIN;
}

bool
bulk_tables_is_job_unknown(const bulk_remote *file)
{
    return file->state == BULK_FILE_STARTING ||
           (file->state == BULK_FILE_REMOVED && strcmp(file->error, UNKNOWN_JOB) == 0);
}

static void
read_file(bulk_remote *file, const PGresult *result, int row)
{
    copy_text(file->kind, sizeof(file->kind), result, row, 0);
    file->table = table_of(file->kind);
    file->attempt = (int)number_at(result, row, 1);
    copy_text(file->name, sizeof(file->name), result, row, 2);
    file->state = state_of(PQgetvalue(result, row, 3));
    file->rows = number_at(result, row, 4);
    file->bytes = number_at(result, row, 5);
    copy_text(file->job_id, sizeof(file->job_id), result, row, 6);
    file->refused = number_at(result, row, 7);
    copy_text(file->results_file, sizeof(file->results_file), result, row, 8);
    copy_text(file->error_file, sizeof(file->error_file), result, row, 9);
    copy_text(file->error, sizeof(file->error), result, row, 10);
}

bulk_step
bulk_tables_read_files(bulk_run *r)
{
    char run_id[24];
    const char *parameters[] = {run_id};
    PGresult *result = NULL;
    bulk_step step;

    snprintf(run_id, sizeof(run_id), "%lld", r->run_id);
    step = bulk_tables_query(
        r,
        "SELECT f.kind, f.attempt, f.name, f.state, f.row_count, f.bytes, f.job_id, f.refused,"
        " f.results_file, f.error_file, f.error FROM ctms.get_acoustic_bulk_files($1::bigint) AS f"
        " ORDER BY f.attempt DESC, f.kind",
        1, parameters, &result);
    if (step != BULK_STEP_OK)
        return step;
    free(r->files);
    r->file_count = PQntuples(result);
    r->files = xcalloc((size_t)r->file_count + 1, sizeof(*r->files));
    for (int i = 0; i < r->file_count; i++) {
        read_file(&r->files[i], result, i);
        r->is_started |=
            (r->files[i].state >= BULK_FILE_STARTING && r->files[i].state <= BULK_FILE_FAILED) ||
            bulk_tables_is_job_unknown(&r->files[i]);
    }
    PQclear(result);
    return BULK_STEP_OK;
}

bulk_remote *
bulk_tables_find_file(bulk_run *r, const char *kind)
{
    for (int i = 0; i < r->file_count; i++) {
        if (strcmp(r->files[i].kind, kind) == 0)
            return &r->files[i];
    }
    return NULL;
}

bool
bulk_tables_is_latest(bulk_run *r, const bulk_remote *file)
{
    return bulk_tables_find_file(r, file->kind) == file;
}

static const char *
or_null(const char *text)
{
    return *text != '\0' ? text : NULL;
}

bulk_step
bulk_tables_put_file(bulk_run *r, const bulk_remote *file)
{
    char run_id[24], attempt[16], rows[24], bytes[24], refused[24];
    const char *parameters[] = {run_id,
                                r->options->runner,
                                file->kind,
                                attempt,
                                file->name,
                                state_names[file->state],
                                rows,
                                bytes,
                                or_null(file->job_id),
                                refused,
                                or_null(file->results_file),
                                or_null(file->error_file),
                                or_null(file->error)};

    snprintf(run_id, sizeof(run_id), "%lld", r->run_id);
    snprintf(attempt, sizeof(attempt), "%d", file->attempt);
    snprintf(rows, sizeof(rows), "%lld", file->rows);
    snprintf(bytes, sizeof(bytes), "%lld", file->bytes);
    snprintf(refused, sizeof(refused), "%lld", file->refused);
    return query_ours(r,
                      "SELECT ctms.put_acoustic_bulk_file($1::bigint, $2, $3, $4::int, $5, $6,"
                      " $7::bigint, $8::bigint, $9, $10::bigint, $11, $12, $13)",
                      13, parameters);
}

bulk_step
bulk_tables_forget_file(bulk_run *r, bulk_remote *file)
{
    if (file->state == BULK_FILE_STARTING)
        snprintf(file->error, sizeof(file->error), UNKNOWN_JOB);
    file->state = BULK_FILE_REMOVED;
    return bulk_tables_put_file(r, file);
}
