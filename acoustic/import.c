/* acoustic/import.c: see acoustic/import.h. */
#include "acoustic/import.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "acoustic/reader.h"
#include "acoustic/xml.h"

/* ---- requests --------------------------------------------------------------------- */

static void
append_element(buf *out, const char *name, const char *text)
{
    buf_printf(out, "<%s>", name);
    acoustic_xml_append_text(out, text);
    buf_printf(out, "</%s>", name);
}

void
acoustic_import_start(buf *out, acoustic_table table, const char *map_file, const char *csv_file)
{
    const char *operation = table == ACOUSTIC_MAIN ? "ImportList" : "ImportTable";

    buf_printf(out, "<Envelope><Body><%s>", operation);
    append_element(out, "MAP_FILE", map_file);
    append_element(out, "SOURCE_FILE", csv_file);
    append_element(out, "FILE_ENCODING", "UTF-8");
    buf_printf(out, "</%s></Body></Envelope>", operation);
}

void
acoustic_import_ask(buf *out, const char *job_id)
{
    buf_append_string(out, "<Envelope><Body><GetJobStatus>");
    append_element(out, "JOB_ID", job_id);
    buf_append_string(out, "</GetJobStatus></Body></Envelope>");
}

/* ---- answers ---------------------------------------------------------------------- */

/* No file has more rows; so that sums of counts are numbers. */
static const long long COUNT_MAX = 1000000000000;

typedef struct reading {
    acoustic_job *job;
    char parameter[64]; /* name of the one that is being read */
} reading;

static bool
is(const char *name, const char *expected)
{
    return strcmp(name, expected) == 0;
}

/* It becomes part of requests and of names of files, so it must be what it looks like. */
static bool
is_made_of(const char *text, const char *more)
{
    for (; *text != '\0'; text++) {
        char lower = (char)(*text | 0x20);

        if ((lower < 'a' || lower > 'z') && (*text < '0' || *text > '9') && !strchr(more, *text))
            return false;
    }
    return true;
}

/* Leaves it alone unless all of the text is fine. */
static void
take_name(char *to, size_t size, const char *text, const char *more)
{
    if (strlen(text) < size && *text != '.' && is_made_of(text, more))
        strcpy(to, text);
}

static acoustic_job_state
find_state(const char *word)
{
    static const struct {
        const char *word;
        acoustic_job_state state;
    } words[] = {
        {"WAITING", ACOUSTIC_JOB_WAITING},   {"RUNNING", ACOUSTIC_JOB_RUNNING},
        {"COMPLETE", ACOUSTIC_JOB_COMPLETE}, {"ERROR", ACOUSTIC_JOB_ERROR},
        {"CANCELED", ACOUSTIC_JOB_CANCELED}, {"CANCELLED", ACOUSTIC_JOB_CANCELED},
    };

    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        if (strcasecmp(word, words[i].word) == 0)
            return words[i].state;
    }
    return ACOUSTIC_JOB_UNKNOWN;
}

static void
take_count(acoustic_job *job, const char *name, const char *text)
{
    const struct {
        const char *name;
        long long *count;
    } counts[] = {
        {"TOTAL_ROWS", &job->total_rows},
        {"TOTAL_VALID", &job->total_valid},
        {"SQL_ADDED", &job->added},
        {"SQL_UPDATED", &job->updated},
        {"BAD_ADDRESSES", &job->bad_addresses},
        {"BAD_RECORDS", &job->bad_records},
        {"NOT_ALLOWED", &job->not_allowed},
        {"DUPLICATES", &job->duplicates},
    };
    char *end;
    long long number;

    number = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || number < 0)
        return;
    /* Nonsense, but not nothing: refused rows must not be overlooked. */
    if (number > COUNT_MAX)
        number = COUNT_MAX;
    for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
        if (is(name, counts[i].name))
            *counts[i].count = number;
    }
}

static bool
on_start(void *arg, const char *name, const char **attributes)
{
    reading *r = arg;

    (void)attributes;
    if (is(name, "PARAMETER"))
        r->parameter[0] = '\0';
    return true;
}

static void
on_end(void *arg, const char *name, const char *text)
{
    reading *r = arg;
    acoustic_job *job = r->job;

    if (is(name, "JOB_ID"))
        take_name(job->job_id, sizeof(job->job_id), text, "-_");
    else if (is(name, "JOB_STATUS"))
        job->state = find_state(text);
    else if (is(name, "JOB_DESCRIPTION"))
        acoustic_reader_copy(job->description, sizeof(job->description), text);
    else if (is(name, "NAME"))
        acoustic_reader_copy(r->parameter, sizeof(r->parameter), text);
    else if (!is(name, "VALUE"))
        return;
    else if (is(r->parameter, "RESULTS_FILE_NAME"))
        take_name(job->results_file, sizeof(job->results_file), text, "-_.");
    else if (is(r->parameter, "ERROR_FILE_NAME"))
        take_name(job->error_file, sizeof(job->error_file), text, "-_.");
    else
        take_count(job, r->parameter, text);
}

static void
forget(acoustic_job *job)
{
    *job = (acoustic_job){.state = ACOUSTIC_JOB_UNKNOWN,
                          .total_rows = -1,
                          .total_valid = -1,
                          .added = -1,
                          .updated = -1,
                          .bad_addresses = -1,
                          .bad_records = -1,
                          .not_allowed = -1,
                          .duplicates = -1};
}

void
acoustic_job_read(acoustic_job *job, const char *body, size_t length)
{
    static const acoustic_reader_events events = {.start = on_start, .end = on_end};
    reading r = {.job = job};

    forget(job);
    if (!acoustic_reader_read(&events, &r, body, length))
        forget(job);
}
