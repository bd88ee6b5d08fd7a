/* report.c: writes the log lines of contacts and cycles, and the health file; see report.h. */
#include "agent/report.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/new_file.h"

/* ISO 8601 with microseconds, UTC. */
static void
write_time(char *text, size_t size)
{
    struct timespec now;
    struct tm utc;
    size_t length;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    length = strftime(text, size, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text + length, size - length, ".%06ld+00:00", now.tv_nsec / 1000);
}

static void
begin_cycle(report *r)
{
    r->cycle_began_s = clock_now_s();
    r->count_total = r->count_synced = r->count_retry = r->count_skipped = r->count_exception = 0;
}

void
report_init(report *r, const agent_settings *settings, agent_metrics *metrics, catalog *known)
{
    *r = (report){.settings = settings, .metrics = metrics, .known = known};
    begin_cycle(r);
}

void
report_start(const report *r)
{
    log_line *line = log_begin(LOG_LEVEL_INFO, REPORT_SYNC);

    log_bool(line, "sync_feature_flag", r->settings->is_sync_enabled);
    log_bool(line, "integration_feature_flag", r->settings->is_integration_enabled);
    log_end(line, "Setting up sync_service.");
}

/* ---- contacts --------------------------------------------------------------------- */

static void
count_contact(report *r, const contact *c)
{
    r->count_total++;
    if (c->is_skipped || (c->is_unchanged && !c->has_failed)) {
        r->count_skipped++;
    } else if (!c->has_failed) {
        r->count_synced++;
        agent_metrics_note_synced(r->metrics);
    } else if (classify_is_permanent(c->class)) {
        r->count_exception++;
    } else {
        r->count_retry++;
    }
}

/* Only tables in which the contact has rows. */
static void
log_row_counts(log_line *line, const contact *c)
{
    char name[48];

    for (int table = ACOUSTIC_MAIN + 1; table < ACOUSTIC_TABLES; table++) {
        snprintf(name, sizeof(name), "%s_count", acoustic_table_name((acoustic_table)table));
        log_int(line, name, c->row_counts[table]);
    }
}

static void
log_table(log_line *line, const contact *c, acoustic_table table)
{
    char name[48];

    if (c->statuses[table] == NULL)
        return;
    snprintf(name, sizeof(name), "%s_status", acoustic_table_name(table));
    log_string(line, name, c->statuses[table]);
    snprintf(name, sizeof(name), "%s_duration_s", acoustic_table_name(table));
    log_real(line, name, c->durations_s[table]);
}

/* Logs which parts of the contact are not sent to Acoustic, if there are any. */
static void
log_skipped(log_line *line, const report *r, const contact *c)
{
    buf names = BUF_INIT;

    if (catalog_append_skipped_fields(r->known, c, &names) > 0)
        log_json(line, "skipped_fields", buf_text(&names), names.length);
    buf_reset(&names);
    if (catalog_append_skipped_newsletters(r->known, c, &names) > 0)
        log_json(line, "newsletters_skipped", buf_text(&names), names.length);
    buf_free(&names);
}

void
report_contact(report *r, const contact *c)
{
    log_line *line;

    count_contact(r, c);
    line = log_begin(c->has_failed ? LOG_LEVEL_ERROR : LOG_LEVEL_DEBUG, REPORT_SERVICE);
    if (line == NULL)
        return;
    log_string(line, "email_id", c->email_id);
    log_bool(line, "success", !c->has_failed);
    if (c->is_skipped)
        log_bool(line, "skipped", true);
    if (c->is_unchanged)
        log_bool(line, "unchanged", true);
    if (c->is_deletion)
        log_bool(line, "deleted", true);
    if (c->trace != NULL)
        log_string(line, "trace", c->trace);
    if (c->fxa_created != NULL)
        log_string(line, "fxa_created_date_converted", c->fxa_created);
    if (c->columns.length > 0)
        log_skipped(line, r, c);
    log_row_counts(line, c);
    for (int table = 0; table < ACOUSTIC_TABLES; table++)
        log_table(line, c, (acoustic_table)table);
    log_int(line, "retry", c->retry);
    if (!c->has_failed) {
        log_end(line, "Successfully sync'd contact to acoustic...");
        return;
    }
    log_string(line, "email_domain", c->domain);
    log_string(line, "error_class", classify_class_name(c->class));
    log_string(line, "error", c->error);
    log_end(line, "Failure for contact in sync to acoustic...");
}

/* ---- cycles ----------------------------------------------------------------------- */

bool
report_has_work(const report *r)
{
    return r->count_total > 0;
}

static void
log_backlog(log_line *line, const queue_backlog *backlog)
{
    if (backlog == NULL) {
        log_json(line, "sync_backlog", "null", 4);
        log_json(line, "bulk_backlog", "null", 4);
        log_json(line, "retry_backlog", "null", 4);
        return;
    }
    log_int(line, "sync_backlog", backlog->waiting);
    log_int(line, "bulk_backlog", backlog->lanes[LANE_BULK]);
    log_int(line, "retry_backlog", backlog->failed);
}

void
report_cycle(report *r, const queue_backlog *backlog)
{
    log_line *line = log_begin(LOG_LEVEL_INFO, REPORT_SYNC);
    double lasted_s = clock_now_s() - r->cycle_began_s;
    char now[40];

    write_time(now, sizeof(now));
    log_int(line, "batch_limit", r->settings->batch_limit);
    log_int(line, "retry_limit", r->settings->retry_limit);
    log_string(line, "end_time", now);
    log_int(line, "count_total", r->count_total);
    log_int(line, "count_synced", r->count_synced);
    log_int(line, "count_retry", r->count_retry);
    log_int(line, "count_skipped", r->count_skipped);
    log_int(line, "count_exception", r->count_exception);
    log_backlog(line, backlog);
    log_real(line, "loop_duration_s", lasted_s);
    log_real(line, "loop_sleep_s",
             lasted_s < r->settings->loop_s ? r->settings->loop_s - lasted_s : 0);
    log_bool(line, "trivial", r->count_total == 0);
    log_end(line, "sync_service cycle complete");
    agent_metrics_note_cycle(r->metrics, lasted_s, backlog);
    begin_cycle(r);
}

/* ---- health ----------------------------------------------------------------------- */

static bool
write_file(const char *path, const char *text, const char **problem)
{
    new_file file;

    /* A reader never sees half a time. */
    if (!new_file_open(&file, path, 0666, problem))
        return false;
    fprintf(file.stream, "%s\n", text);
    return new_file_finish(&file, false, problem);
}

void
report_health(report *r)
{
    const char *path = r->settings->health_path;
    const char *problem;
    char now[40];

    if (path == NULL)
        return;
    write_time(now, sizeof(now));
    if (write_file(path, now, &problem)) {
        r->is_health_failing = false;
    } else if (!r->is_health_failing) {
        r->is_health_failing = true;
        log_message(LOG_LEVEL_ERROR, REPORT_SYNC, "could not write \"%s\": %s", path, problem);
    }
}
