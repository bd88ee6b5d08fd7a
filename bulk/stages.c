/*
 * stages.c: the first stages of a run: takes contacts from the bulk lane, makes files of them and
 * uploads these. Nothing here makes Acoustic do anything, so it can be done anew at any time.
 */
#include "bulk/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bulk/folder.h"
#include "common/clock.h"

enum {
    CLAIM_CONTACTS = 10000, /* in one transaction */
    PAGE_CONTACTS = 2000,
    CONFLICTS_MAX = 10,
};
#define ANEW_PAUSE_MIN_S 0.2
#define ANEW_PAUSE_MAX_S 10.0

/* ---- claiming ----------------------------------------------------------------------- */

/* Takes some more. claimed may be 0 when others hold the contacts there. */
static bulk_step
claim_some(bulk_run *r, long long limit)
{
    char run_id[24], contacts[24], retries[16];
    const char *after = *r->last_email_id ? r->last_email_id : *r->cursor ? r->cursor : NULL;
    const char *parameters[] = {run_id, r->options->runner, after, contacts, retries};
    PGresult *result = NULL;
    bulk_step step;

    snprintf(run_id, sizeof(run_id), "%lld", r->run_id);
    snprintf(contacts, sizeof(contacts), "%lld", limit < CLAIM_CONTACTS ? limit : CLAIM_CONTACTS);
    snprintf(retries, sizeof(retries), "%d", r->settings->retry_limit);
    step = bulk_tables_query(
        r,
        "SELECT c.claimed, c.last_email_id"
        " FROM ctms.claim_acoustic_bulk($1::bigint, $2, $3::uuid, $4::int, $5::int) AS c",
        5, parameters, &result);
    if (step == BULK_STEP_OK && PQntuples(result) > 0) {
        r->contacts += strtoll(PQgetvalue(result, 0, 0), NULL, 10);
        r->is_lane_done = PQgetisnull(result, 0, 1);
        if (!r->is_lane_done)
            snprintf(r->last_email_id, sizeof(r->last_email_id), "%s", PQgetvalue(result, 0, 1));
    } else if (step == BULK_STEP_OK) {
        step = r->interruption = BULK_STEP_LOST;
    }
    PQclear(result);
    return step;
}

bulk_step
bulk_stages_claim(bulk_run *r)
{
    double began_s = clock_now_s();

    r->is_lane_done = false;
    while (!r->is_lane_done && r->contacts < r->settings->contacts) {
        bulk_step step;

        if (!bulk_step_tick(r))
            return r->interruption;
        step = claim_some(r, r->settings->contacts - r->contacts);
        if (step != BULK_STEP_OK)
            return step;
        bulk_step_tell(r, NULL, "contacts", r->contacts, 0);
    }
    if (r->contacts > 0)
        bulk_step_log(r, LOG_LEVEL_INFO, "claimed %lld contacts in %.1f s", r->contacts,
                      clock_now_s() - began_s);
    return bulk_tables_set_state(r, r->contacts > 0 ? "making" : "done");
}

/* ---- making ------------------------------------------------------------------------- */

static bulk_step
local_failure(bulk_run *r, const char *message)
{
    return bulk_step_give_up(r, "could not make the files: %s", message);
}

/* Something went wrong in the snapshot. A table may have been altered, or the connection lost:
 * everything is made anew. */
static bulk_step
snapshot_failure(bulk_run *r, bulk_database_result outcome)
{
    const char *message = bulk_database_message(r->db);
    bulk_step step;

    if (outcome == BULK_DATABASE_STOPPED)
        return r->interruption != BULK_STEP_OK ? r->interruption : BULK_STEP_STOPPED;
    if (outcome == BULK_DATABASE_REFUSED || ++r->conflicts > CONFLICTS_MAX)
        return local_failure(r, message);
    bulk_step_log(r, LOG_LEVEL_WARNING, "making the files anew: %s", message);
    step = bulk_step_wait(r, clock_backoff_s(ANEW_PAUSE_MIN_S, ANEW_PAUSE_MAX_S, r->conflicts));
    return step == BULK_STEP_OK ? BULK_STEP_AGAIN : step;
}

static bulk_step
set_columns(bulk_run *r, bulk_files *files)
{
    char message[256];
    PGresult *result = NULL;
    bool is_set;
    bulk_database_result outcome =
        bulk_database_send(r->db, "SELECT kind, columns FROM ctms.acoustic_csv_columns()", 0, NULL);

    if (outcome == BULK_DATABASE_OK)
        outcome = bulk_database_receive(r->db, &result);
    if (outcome != BULK_DATABASE_OK)
        return snapshot_failure(r, outcome);
    is_set = bulk_files_set_columns(files, result, message, sizeof(message));
    PQclear(result);
    return is_set ? BULK_STEP_OK : local_failure(r, message);
}

/* Asks for the page after this contact. It has one row more at least, with the last contact of the
 * page, and how many it has. */
static bulk_database_result
ask_page(bulk_run *r, const char *after)
{
    char run_id[24], limit[16];
    const char *parameters[] = {run_id, *after ? after : NULL, limit};

    snprintf(run_id, sizeof(run_id), "%lld", r->run_id);
    snprintf(limit, sizeof(limit), "%d", PAGE_CONTACTS);
    /* The array is wanted twice, and must be made once. */
    return bulk_database_send_for_rows(
        r->db,
        "WITH p AS MATERIALIZED"
        " (SELECT ctms.acoustic_bulk_page($1::bigint, $2::uuid, $3::int) AS ids)"
        " SELECT c.kind, c.row_count, c.csv, p.ids[cardinality(p.ids)], cardinality(p.ids)"
        " FROM p LEFT JOIN LATERAL ctms.acoustic_csv(p.ids) AS c ON true",
        3, parameters);
}

typedef struct page {
    char last[40]; /* the last contact, for the next page */
    int count;     /* contacts; 0 at the end */
} page;

/* Writes what the server has made of the next page. */
static bulk_step
add_page(bulk_run *r, bulk_files *files, page *p)
{
    char message[256];
    bulk_database_result outcome = ask_page(r, p->last);

    for (;;) {
        PGresult *row = NULL;
        bool is_added;

        if (outcome == BULK_DATABASE_OK)
            outcome = bulk_database_receive_row(r->db, &row);
        if (outcome != BULK_DATABASE_OK)
            return snapshot_failure(r, outcome);
        if (row == NULL)
            return BULK_STEP_OK;
        p->count = atoi(PQgetvalue(row, 0, 4));
        if (p->count > 0)
            snprintf(p->last, sizeof(p->last), "%s", PQgetvalue(row, 0, 3));
        /* All contacts of a page may have been deleted. */
        is_added = PQgetisnull(row, 0, 0) || bulk_files_add(files, row, message, sizeof(message));
        PQclear(row);
        if (!is_added)
            return local_failure(r, message);
    }
}

static bulk_step
add_pages(bulk_run *r, bulk_files *files)
{
    page p = {.last = ""};
    long long contacts = 0;

    do {
        bulk_step step = add_page(r, files, &p);

        if (step != BULK_STEP_OK)
            return step;
        contacts += p.count;
        bulk_step_tell(r, NULL, "contacts", contacts, r->contacts);
        if (!bulk_step_tick(r))
            return r->interruption;
    } while (p.count > 0);
    return BULK_STEP_OK;
}

static bulk_step
fill_files(bulk_run *r, bulk_files *files)
{
    char message[256];
    bulk_database_result outcome = bulk_database_begin_snapshot(r->db);
    bulk_step step;

    if (outcome != BULK_DATABASE_OK)
        return snapshot_failure(r, outcome);
    step = set_columns(r, files);
    if (step == BULK_STEP_OK)
        step = add_pages(r, files);
    bulk_database_end_snapshot(r->db);
    if (step == BULK_STEP_OK && !bulk_files_finish(files, message, sizeof(message)))
        step = local_failure(r, message);
    return step;
}

static void
log_made(bulk_run *r, const bulk_files *files, double began_s)
{
    long long rows = 0, bytes = 0;

    for (int i = 0; i < bulk_files_count(files); i++) {
        rows += bulk_files_get(files, i)->rows;
        bytes += bulk_files_get(files, i)->csv_bytes;
    }
    bulk_step_log(r, LOG_LEVEL_INFO, "made %d files with %lld rows and %lld bytes in %.1f s",
                  bulk_files_count(files), rows, bytes, clock_now_s() - began_s);
}

/* ---- uploading ---------------------------------------------------------------------- */

typedef struct upload {
    const char *path;
    char name[112];
} upload;

static sftp_result
transfer_file(bulk_run *r, void *arg, char *message, size_t size)
{
    const upload *u = arg;

    return sftp_upload(r->sftp, u->path, u->name, message, size);
}

static bulk_step
upload_file(bulk_run *r, const char *path, const char *name, const char *ending)
{
    upload u = {.path = path};
    char message[256] = "";
    sftp_result result;
    bulk_step step;

    snprintf(u.name, sizeof(u.name), "%s%s", name, ending);
    step = bulk_step_try_transfer(r, transfer_file, &u, &result, message, sizeof(message));
    if (step == BULK_STEP_OK && result != SFTP_OK)
        step = bulk_step_give_up(r, "could not upload a file: %s", message);
    return step;
}

static bulk_remote
remote_of(const bulk_run *r, const bulk_file *file)
{
    bulk_remote remote = {.table = file->table,
                          .attempt = r->attempt,
                          .state = BULK_FILE_MADE,
                          .rows = file->rows,
                          .bytes = file->csv_bytes + file->map_bytes};

    snprintf(remote.kind, sizeof(remote.kind), "%s", file->kind);
    snprintf(remote.name, sizeof(remote.name), "%s", file->name);
    return remote;
}

/* The row comes first: whoever cleans must know of a file that is there in part. */
static bulk_step
upload_pair(bulk_run *r, const bulk_file *file)
{
    bulk_remote remote = remote_of(r, file);
    bulk_step step = bulk_tables_put_file(r, &remote);

    if (step == BULK_STEP_OK)
        step = upload_file(r, file->csv_path, file->name, ".csv");
    if (step != BULK_STEP_OK)
        return step;
    r->moved_before += file->csv_bytes;
    step = upload_file(r, file->map_path, file->name, ".xml");
    r->moved_before += file->map_bytes;
    if (step != BULK_STEP_OK)
        return step;
    remote.state = BULK_FILE_UPLOADED;
    return bulk_tables_put_file(r, &remote);
}

static bool
is_made(const bulk_files *files, const char *kind)
{
    for (int i = 0; i < bulk_files_count(files); i++) {
        if (strcmp(bulk_files_get(files, i)->kind, kind) == 0)
            return true;
    }
    return false;
}

/* An earlier attempt had rows of a kind that there are none of any more. Its file, which may be
 * there in part, is only to be removed. */
static bulk_step
leave_out_older(bulk_run *r, const bulk_files *files)
{
    bulk_step step = BULK_STEP_OK;

    for (int i = 0; i < r->file_count && step == BULK_STEP_OK; i++) {
        if (is_made(files, r->files[i].kind))
            continue;
        r->files[i].rows = 0;
        step = bulk_tables_put_file(r, &r->files[i]);
    }
    return step;
}

static bulk_step
upload_all(bulk_run *r, const bulk_files *files)
{
    double began_s = clock_now_s();
    long long total = 0;
    bulk_step step = bulk_tables_set_state(r, "uploading");

    for (int i = 0; i < bulk_files_count(files); i++)
        total += bulk_files_get(files, i)->csv_bytes + bulk_files_get(files, i)->map_bytes;
    r->moved_before = 0;
    for (int i = 0; i < bulk_files_count(files) && step == BULK_STEP_OK; i++) {
        const bulk_file *file = bulk_files_get(files, i);

        bulk_step_tell(r, file->kind, "bytes", r->moved_before, total);
        step = upload_pair(r, file);
    }
    bulk_step_tell(r, NULL, "bytes", r->moved_before, total);
    if (step == BULK_STEP_OK)
        step = leave_out_older(r, files);
    if (step == BULK_STEP_OK)
        bulk_step_log(r, LOG_LEVEL_INFO, "uploaded %lld bytes in %.1f s", total,
                      clock_now_s() - began_s);
    return step;
}

/* The run was taken by another runner, which has names of its own and does not know how far we have
 * come meanwhile. */
static void
remove_orphans(bulk_run *r, const bulk_files *files)
{
    char name[112], message[256];

    for (int i = 0; i < bulk_files_count(files); i++) {
        snprintf(name, sizeof(name), "%s.csv", bulk_files_get(files, i)->name);
        sftp_remove_upload(r->sftp, name, message, sizeof(message));
        snprintf(name, sizeof(name), "%s.xml", bulk_files_get(files, i)->name);
        sftp_remove_upload(r->sftp, name, message, sizeof(message));
    }
}

/* ---- both --------------------------------------------------------------------------- */

static bulk_files *
begin_files(bulk_run *r, char *message, size_t size)
{
    char directory[900], prefix[64];
    bulk_files_options options = {
        .directory = directory, .prefix = prefix, .table_ids = r->settings->acoustic.table_ids};

    if (*r->spool == '\0' &&
        !bulk_files_open_spool(r->settings->directory, r->spool, sizeof(r->spool), message, size)) {
        *r->spool = '\0';
        return NULL;
    }
    snprintf(directory, sizeof(directory), "%s/" BULK_FOLDER_PREFIX "%lld-%08llx-%d", r->spool,
             r->run_id, r->generation & 0xffffffff, r->attempt);
    snprintf(prefix, sizeof(prefix), "ctms_%lld_%08llx_%d", r->run_id, r->generation & 0xffffffff,
             r->attempt);
    return bulk_files_new(&options, message, size);
}

bulk_step
bulk_stages_make(bulk_run *r)
{
    char message[256];
    double began_s = clock_now_s();
    const char *next = "importing";
    bulk_files *files;
    bulk_step step = bulk_tables_set_state(r, "making");

    if (step != BULK_STEP_OK)
        return step;
    files = begin_files(r, message, sizeof(message));
    if (files == NULL)
        return local_failure(r, message);
    step = fill_files(r, files);
    if (step == BULK_STEP_OK) {
        log_made(r, files, began_s);
        step = upload_all(r, files);
        if (step == BULK_STEP_LOST)
            remove_orphans(r, files);
    }
    /* All contacts may have changed since they were claimed. */
    if (bulk_files_count(files) == 0)
        next = "settling";
    bulk_files_remove(files);
    bulk_files_free(files);
    if (step == BULK_STEP_OK)
        step = bulk_tables_set_state(r, next);
    return step == BULK_STEP_OK ? bulk_tables_read_files(r) : step;
}
