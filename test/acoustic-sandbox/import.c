/*
 * import.c: starts imports and tells how they are getting on; see import.h.
 *
 * Which faults Acoustic answers to a call for files that are not there is not documented; numbers
 * and texts are this sandbox's own.
 */
#include "test/acoustic-sandbox/import.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "test/acoustic-sandbox/mapping.h"

static bool
is_status(const struct envelope *envelope)
{
    return strcmp(envelope->operation, "GetJobStatus") == 0;
}

bool
import_is_operation(const char *operation)
{
    return strcmp(operation, "ImportList") == 0 || strcmp(operation, "ImportTable") == 0 ||
           strcmp(operation, "GetJobStatus") == 0;
}

/* Only a name: no path to elsewhere. */
static bool
is_plain(const char *name)
{
    return *name != '\0' && *name != '.' && strchr(name, '/') == NULL;
}

static bool
is_there(const struct settings *settings, const char *name)
{
    char path[SETTINGS_PATH];
    struct stat stat_buf;

    settings_path(settings, "upload", name, path);
    return stat(path, &stat_buf) == 0 && S_ISREG(stat_buf.st_mode);
}

enum table
import_find_table(const struct jobs *jobs, const struct envelope *envelope)
{
    const struct settings *settings = jobs->context.settings;
    const struct job *job;
    struct mapping mapping;
    char path[SETTINGS_PATH];
    enum table table;

    if (is_status(envelope)) {
        job = jobs_find(jobs, envelope->job_id);
        return job ? job->table : TABLE_COUNT;
    }
    if (strcmp(envelope->operation, "ImportList") == 0)
        return TABLE_MAIN;
    if (settings->sftp_root == NULL || !is_plain(envelope->map_file))
        return TABLE_COUNT;
    settings_path(settings, "upload", envelope->map_file, path);
    mapping_read(&mapping, settings, path);
    table = mapping.table;
    mapping_free(&mapping);
    return table;
}

static void
refuse_file(struct answer *answer, const char *element, const char *name, const char *reason)
{
    char text[200];

    snprintf(text, sizeof(text), "%s: file %s %s.", element, name, reason);
    answer_fault(answer, "102", "SP.Import", text);
}

static void
start(struct jobs *jobs, const struct envelope *envelope, enum table table, struct answer *answer)
{
    const struct settings *settings = jobs->context.settings;
    const char *operation =
        strcmp(envelope->operation, "ImportList") == 0 ? "ImportList" : "ImportTable";
    const struct job *job;
    char text[80];

    if (settings->sftp_root == NULL) {
        answer_fault(answer, "101", "SP.Import", "The organization has no upload folder.");
    } else if (strcasecmp(envelope->encoding, "UTF-8") != 0) {
        answer_fault(answer, "51", "SP.API", "Invalid XML Request: FILE_ENCODING must be UTF-8");
    } else if (!is_plain(envelope->map_file) || !is_plain(envelope->source_file)) {
        answer_fault(answer, "51", "SP.API",
                     "Invalid XML Request: MAP_FILE and SOURCE_FILE must be names");
    } else if (!is_there(settings, envelope->map_file)) {
        refuse_file(answer, "MAP_FILE", envelope->map_file, "does not exist");
    } else if (!is_there(settings, envelope->source_file)) {
        refuse_file(answer, "SOURCE_FILE", envelope->source_file, "does not exist");
    } else {
        job = jobs_add(jobs, operation, table, envelope->map_file, envelope->source_file);
        snprintf(text, sizeof(text), "<JOB_ID>%ld</JOB_ID>", job->id);
        answer_success(answer, text);
    }
}

static void
add_parameter(struct evbuffer *inside, const char *name, const char *value)
{
    evbuffer_add_printf(inside, "<PARAMETER><NAME>%s</NAME><VALUE>", name);
    answer_add_escaped(inside, value);
    evbuffer_add_printf(inside, "</VALUE></PARAMETER>\n");
}

static void
add_number(struct evbuffer *inside, const char *name, long number, const char *suffix)
{
    char text[40];

    snprintf(text, sizeof(text), "%ld%s", number, suffix);
    add_parameter(inside, name, text);
}

static void
add_parameters(struct evbuffer *inside, const struct settings *settings, const struct job *job)
{
    const struct job_counts *counts = &job->counts;

    if (job->table < TABLE_COUNT)
        add_parameter(inside, job->table == TABLE_MAIN ? "LIST_ID" : "TABLE_ID",
                      settings->table_ids[job->table]);
    if (job->has_results && job->ended_s > 0)
        add_number(inside, "RESULTS_FILE_NAME", job->id, ".res");
    if (job->has_errors && job->ended_s > 0)
        add_number(inside, "ERROR_FILE_NAME", job->id, ".err");
    if (job->started_s == 0)
        return;
    add_number(inside, "SQL_ADDED", counts->added, "");
    add_number(inside, "SQL_UPDATED", counts->updated, "");
    add_number(inside, "BAD_ADDRESSES", counts->bad_addresses, "");
    add_number(inside, "BAD_RECORDS", counts->bad_records, "");
    add_number(inside, "NOT_ALLOWED", counts->not_allowed, "");
    add_number(inside, "DUPLICATES", 0, "");
    add_number(inside, "TOTAL_VALID", counts->added + counts->updated, "");
    add_number(inside, "TOTAL_ROWS", counts->total, "");
}

static void
tell(const struct jobs *jobs, const struct envelope *envelope, struct answer *answer)
{
    const struct job *job = jobs_find(jobs, envelope->job_id);
    struct evbuffer *body = answer->body;
    char text[80];

    if (job == NULL) {
        snprintf(text, sizeof(text), "Job with id %s does not exist.", envelope->job_id);
        answer_fault(answer, "104", "SP.API", text);
        return;
    }
    evbuffer_add_printf(body,
                        "<Envelope><Body><RESULT><SUCCESS>TRUE</SUCCESS><JOB_ID>%ld</JOB_ID>"
                        "<JOB_STATUS>%s</JOB_STATUS><JOB_DESCRIPTION>",
                        job->id, job_status_names[job->status]);
    answer_add_escaped(body, job->description);
    evbuffer_add_printf(body, "</JOB_DESCRIPTION><PARAMETERS>\n");
    add_parameters(body, jobs->context.settings, job);
    evbuffer_add_printf(body, "</PARAMETERS></RESULT></Body></Envelope>\n");
}

void
import_run(struct jobs *jobs, const struct envelope *envelope, enum table table,
           struct answer *answer)
{
    if (is_status(envelope))
        tell(jobs, envelope, answer);
    else
        start(jobs, envelope, table, answer);
}
