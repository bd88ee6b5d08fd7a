/*
 * stop.c: stops the line when nobody's contacts can be sent, and lets it run again; see
 * sync_internal.h.
 *
 * While it stands still nothing is held: leases are given back, no failure is counted, and
 * the queue keeps everything. After a while, each time a longer one, a few contacts are
 * claimed and sent one request at a time, until the table that refused them accepts again.
 */
#include <stdio.h>

#include "agent/sync_internal.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/sentry.h"

#define PROBE_MAX_S 60.0
/* Good calls after which the line runs even if none was for the table that refused. */
enum { GOOD_CALLS_ENOUGH = 20 };

static void
log_stop(const struct sync *s, const char *why, double delay_s)
{
    log_line *line = log_begin(LOG_LEVEL_CRITICAL, REPORT_SYNC);

    log_string(line, "error_class", failure_class_name(s->stop.class));
    log_string(line, "table", acoustic_table_names[s->stop.table]);
    log_string(line, "error", why);
    log_real(line, "next_try_s", delay_s);
    log_end(line, "sending to Acoustic is stopped, %s needs attention: %s",
            s->stop.class == CLASS_AUTHENTICATION ? "authentication" : "its configuration", why);
    sentry_report(LOG_LEVEL_CRITICAL, REPORT_SYNC, "sending to Acoustic is stopped",
                  (const sentry_tag[]){{"error_class", failure_class_name(s->stop.class)},
                                       {"table", acoustic_table_names[s->stop.table]}},
                  2);
}

void
stop_line(struct sync *s, failure_class class, const call *k, const char *why)
{
    double now_s = clock_now_s();
    double max_s = s->settings->loop_s > PROBE_MAX_S ? s->settings->loop_s : PROBE_MAX_S;
    double delay_s;

    /* What was in flight when the line stopped has nothing to add. */
    if (s->stop.class != CLASS_SUCCESS && k->started_s < s->stop.since_s)
        return;
    delay_s = clock_backoff_s(s->settings->loop_s, max_s, s->stop.count);
    s->stop = (stop){.class = class,
                     .table = k->table,
                     .since_s = now_s,
                     .until_s = now_s + delay_s,
                     .count = s->stop.count + 1};
    s->stopped_at_s[k->table] = now_s;
    snprintf(s->stop.why, sizeof(s->stop.why), "%s", why);
    sync_show_stop(s);
    log_stop(s, why, delay_s);
    sync_drop_unsent(s);
}

void
stop_note_success(struct sync *s, const call *k)
{
    bool is_proof = s->stop.class == CLASS_AUTHENTICATION || k->table == s->stop.table;

    s->last_success_s[k->table] = clock_now_s();
    if (is_proof && k->started_s >= s->stop.since_s)
        s->stop.count = 0;
    if (s->stop.class == CLASS_SUCCESS || k->started_s < s->stop.since_s)
        return;
    if (!is_proof && ++s->stop.good_calls < GOOD_CALLS_ENOUGH)
        return;
    s->stop.class = CLASS_SUCCESS;
    s->stop.until_s = 0;
    sync_show_stop(s);
    s->is_hungry = true;
    log_message(LOG_LEVEL_WARNING, REPORT_SYNC, "sending to Acoustic goes on");
}
