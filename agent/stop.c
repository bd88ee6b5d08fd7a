/*
 * stop.c: stops the line when no contact can be sent, and lets it run again; see stop.h.
 *
 * While the line is stopped the agent holds nothing: leases are given back, no failure is counted,
 * and the queue keeps everything. After a while, which grows with each stop, a few contacts are
 * claimed and sent one request at a time, until the table that refused them accepts again.
 */
#include "agent/stop.h"

#include <stdio.h>

#include "agent/report.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/sentry.h"

#define PROBE_MAX_S 60.0
/* After this many successful calls the line runs again, even if none was for the table that
 * refused. */
enum { GOOD_CALLS_ENOUGH = 20 };

static void
log_stop(const struct line *l, const char *why, double delay_s)
{
    log_line *line = log_begin(LOG_LEVEL_CRITICAL, REPORT_SYNC);

    log_string(line, "error_class", classify_class_name(l->stop.class));
    log_string(line, "table", acoustic_table_name(l->stop.table));
    log_string(line, "error", why);
    log_real(line, "next_try_s", delay_s);
    log_end(line, "sending to Acoustic is stopped, %s needs attention: %s",
            l->stop.class == CLASS_AUTHENTICATION ? "authentication" : "its configuration", why);
    sentry_report(LOG_LEVEL_CRITICAL, REPORT_SYNC, "sending to Acoustic is stopped",
                  (const sentry_tag[]){{"error_class", classify_class_name(l->stop.class)},
                                       {"table", acoustic_table_name(l->stop.table)}},
                  2);
}

void
stop_show(const struct line *l)
{
    agent_metrics_show_stop(l->metrics, l->is_token_failing ? CLASS_AUTHENTICATION : l->stop.class);
}

void
stop_begin(struct line *l, failure_class class, const call *k, const char *why)
{
    double now_s = clock_now_s();
    double max_s = l->settings->loop_s > PROBE_MAX_S ? l->settings->loop_s : PROBE_MAX_S;
    double delay_s;

    /* The answer to a request from before the stop tells nothing new. */
    if (l->stop.class != CLASS_SUCCESS && k->started_s < l->stop.since_s)
        return;
    delay_s = clock_backoff_s(l->settings->loop_s, max_s, l->stop.count);
    l->stop = (stop){.class = class,
                     .table = k->table,
                     .since_s = now_s,
                     .until_s = now_s + delay_s,
                     .count = l->stop.count + 1};
    l->stopped_at_s[k->table] = now_s;
    snprintf(l->stop.why, sizeof(l->stop.why), "%s", why);
    stop_show(l);
    log_stop(l, why, delay_s);
    line_drop_unsent(l);
}

static void
end_stop(struct line *l)
{
    l->stop.class = CLASS_SUCCESS;
    l->stop.until_s = 0;
    stop_show(l);
}

void
stop_note_success(struct line *l, const call *k)
{
    bool is_proof = l->stop.class == CLASS_AUTHENTICATION || k->table == l->stop.table;

    l->last_success_s[k->table] = clock_now_s();
    if (is_proof && k->started_s >= l->stop.since_s)
        l->stop.count = 0;
    if (l->stop.class == CLASS_SUCCESS || k->started_s < l->stop.since_s)
        return;
    if (!is_proof && ++l->stop.good_calls < GOOD_CALLS_ENOUGH)
        return;
    end_stop(l);
    line_look_soon(l);
    log_message(LOG_LEVEL_WARNING, REPORT_SYNC, "sending to Acoustic continues");
}

void
stop_note_nothing_waits(struct line *l)
{
    /* A claim from before the stop tells nothing. */
    if (l->stop.class == CLASS_SUCCESS || clock_now_s() < l->stop.until_s)
        return;
    end_stop(l);
    log_message(LOG_LEVEL_WARNING, REPORT_SYNC,
                "nothing waits any more that could not be sent to Acoustic");
}
