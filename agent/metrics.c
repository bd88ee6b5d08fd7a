/* metrics.c: the families of metrics of the agent; see metrics.h. */
#include "agent/metrics.h"

#include <stdlib.h>
#include <string.h>

#include "common/metrics.h"

enum { SERIES_MAX = 256 };

#define COMMON_LABELS                                                                              \
    "app_kubernetes_io_component=\"background\",app_kubernetes_io_instance=\"ctms\","              \
    "app_kubernetes_io_name=\"ctms\""

/* In the order in which they are written. */
typedef enum family {
    REQUESTS,
    DURATIONS,
    SYNCED,
    RETRIES,
    BACKLOG,
    BACKLOG_LANE,
    LOOPS,
    AGE,
    AGE_LANE,
    LOOP_DURATION,
    IN_FLIGHT,
    IN_FLIGHT_ALLOWED,
    STOPPED,
    BULK_RUNNING,
    BULK_STAGE,
    BULK_CONTACTS,
    BULK_AGE,
    BULK_FAILED_LAST,
    BULK_FILES_LEFT,
    BULK_CONTACTS_TOTAL,
    BULK_RUNS_TOTAL,
    BULK_BYTES_TOTAL,
    FAMILIES,
} family;

static const metrics_family families[] = {
    [REQUESTS] = {.name = "ctms_background_acoustic_request_total",
                  .help = "Requests to Acoustic that have ended.",
                  .type = METRICS_COUNTER},
    [DURATIONS] = {.name = "ctms_background_acoustic_requests_duration",
                   .help = "Seconds from a request to Acoustic to its answer.",
                   .type = METRICS_HISTOGRAM,
                   .bucket_count = 7,
                   .buckets = {.01, .05, .1, .5, 1, 5, 10}},
    [SYNCED] = {.name = "ctms_background_acoustic_sync_total",
                .help = "Contacts that were sent completely.",
                .type = METRICS_COUNTER},
    [RETRIES] = {.name = "ctms_background_acoustic_sync_retries",
                 .help = "Contacts in the queue that have failed since they changed.",
                 .type = METRICS_GAUGE},
    [BACKLOG] = {.name = "ctms_background_acoustic_sync_backlog",
                 .help = "Contacts in the queue that are to be sent.",
                 .type = METRICS_GAUGE},
    [BACKLOG_LANE] = {.name = "ctms_background_acoustic_sync_backlog_lane",
                      .help = "Contacts in this lane of the queue that are to be sent.",
                      .type = METRICS_GAUGE},
    [LOOPS] = {.name = "ctms_background_acoustic_sync_loops",
               .help = "Cycles that have ended.",
               .type = METRICS_COUNTER},
    [AGE] = {.name = "ctms_background_acoustic_sync_age_s",
             .help = "Seconds since the oldest live change that is ready to be sent.",
             .type = METRICS_GAUGE},
    [AGE_LANE] = {.name = "ctms_background_acoustic_sync_age_lane_seconds",
                  .help = "Seconds since the oldest change in this lane that is ready to be sent.",
                  .type = METRICS_GAUGE},
    [LOOP_DURATION] = {.name = "ctms_background_acoustic_sync_loop_duration_seconds",
                       .help = "Time that the last cycle took.",
                       .type = METRICS_GAUGE},
    [IN_FLIGHT] = {.name = "ctms_background_acoustic_in_flight",
                   .help = "Requests to Acoustic in flight.",
                   .type = METRICS_GAUGE},
    [IN_FLIGHT_ALLOWED] = {.name = "ctms_background_acoustic_in_flight_allowed",
                           .help = "Requests to Acoustic that this agent may have in flight now.",
                           .type = METRICS_GAUGE},
    [STOPPED] = {.name = "ctms_background_acoustic_stopped",
                 .help = "1 while nothing can be sent and an operator is needed.",
                 .type = METRICS_GAUGE},
    [BULK_RUNNING] = {.name = "ctms_background_acoustic_bulk_running",
                      .help = "1 while somebody works on a run by file.",
                      .type = METRICS_GAUGE},
    [BULK_STAGE] = {.name = "ctms_background_acoustic_bulk_stage",
                    .help = "1 for the state of the open run by file.",
                    .type = METRICS_GAUGE},
    [BULK_CONTACTS] = {.name = "ctms_background_acoustic_bulk_contacts",
                       .help = "Contacts of the open run by file.",
                       .type = METRICS_GAUGE},
    [BULK_AGE] = {.name = "ctms_background_acoustic_bulk_age_seconds",
                  .help = "Seconds since the open run by file has begun.",
                  .type = METRICS_GAUGE},
    [BULK_FAILED_LAST] = {.name = "ctms_background_acoustic_bulk_last_failed",
                          .help = "1 if the last run by file was given up.",
                          .type = METRICS_GAUGE},
    [BULK_FILES_LEFT] = {.name = "ctms_background_acoustic_bulk_files_left",
                         .help = "Files of runs that have ended which could not be removed.",
                         .type = METRICS_GAUGE},
    [BULK_CONTACTS_TOTAL] = {.name = "ctms_background_acoustic_bulk_contacts_total",
                             .help = "Contacts of this agent's runs by file.",
                             .type = METRICS_COUNTER},
    [BULK_RUNS_TOTAL] = {.name = "ctms_background_acoustic_bulk_runs_total",
                         .help = "Runs by file of this agent that have ended, or could not begin.",
                         .type = METRICS_COUNTER},
    [BULK_BYTES_TOTAL] = {.name = "ctms_background_acoustic_bulk_bytes_total",
                          .help = "Bytes of files that this agent has uploaded.",
                          .type = METRICS_COUNTER},
};

_Static_assert(sizeof(families) / sizeof(*families) == FAMILIES, "every family is described");

struct agent_metrics {
    metrics *metrics;
    /* first for storing, then for deleting */
    metrics_series *requests[2][ACOUSTIC_TABLES][FAILURE_CLASSES];
    metrics_series *durations[2][ACOUSTIC_TABLES][FAILURE_CLASSES];
    metrics_series *stopped[FAILURE_CLASSES]; /* null: this class cannot stop the line */
};

static metrics_series *
plain(agent_metrics *m, family which)
{
    return metrics_get(m->metrics, &families[which], COMMON_LABELS);
}

static void
prepare_requests(agent_metrics *m, int is_deletion, int table, int class)
{
    static const char *const methods[2][2] = {{"insert_update_relational_table", "add_recipient"},
                                              {"delete_relational_table_data", "remove_recipient"}};
    buf labels = BUF_INIT;

    buf_append_string(&labels, COMMON_LABELS);
    metrics_append_label(&labels, "method", methods[is_deletion][table == ACOUSTIC_MAIN]);
    metrics_append_label(&labels, "status", classify_class_name((failure_class) class));
    metrics_append_label(&labels, "table", acoustic_table_name((acoustic_table)table));
    m->requests[is_deletion][table][class] =
        metrics_get(m->metrics, &families[REQUESTS], buf_text(&labels));
    m->durations[is_deletion][table][class] =
        metrics_get(m->metrics, &families[DURATIONS], buf_text(&labels));
    buf_free(&labels);
}

static void
prepare_stopped(agent_metrics *m, failure_class class)
{
    buf labels = BUF_INIT;

    buf_append_string(&labels, COMMON_LABELS);
    metrics_append_label(&labels, "reason", classify_class_name(class));
    m->stopped[class] = metrics_get(m->metrics, &families[STOPPED], buf_text(&labels));
    buf_free(&labels);
}

/* ---- runs by file ----------------------------------------------------------------- */

static metrics_series *
with_label(agent_metrics *m, family which, const char *name, const char *value)
{
    buf labels = BUF_INIT;
    metrics_series *series;

    buf_append_string(&labels, COMMON_LABELS);
    metrics_append_label(&labels, name, value);
    series = metrics_get(m->metrics, &families[which], buf_text(&labels));
    buf_free(&labels);
    return series;
}

void
agent_metrics_show_bulk(agent_metrics *m, const agent_bulk_state *state)
{
    static const char *const states[] = {"claiming",  "making",   "uploading",
                                         "importing", "settling", "cleaning"};

    for (size_t i = 0; i < sizeof(states) / sizeof(*states); i++)
        metrics_set(with_label(m, BULK_STAGE, "state", states[i]),
                    state->state != NULL && strcmp(state->state, states[i]) == 0);
    metrics_set(plain(m, BULK_RUNNING), state->is_running);
    metrics_set(plain(m, BULK_CONTACTS), (double)state->contacts);
    metrics_set(plain(m, BULK_AGE), state->age_s);
    metrics_set(plain(m, BULK_FAILED_LAST), state->has_failed);
    metrics_set(plain(m, BULK_FILES_LEFT), (double)state->files_left);
}

static void
count_more(metrics_series *series, long long before, long long now)
{
    metrics_add(series, now > before ? (unsigned long long)(now - before) : 0);
}

void
agent_metrics_count_bulk(agent_metrics *m, const bulk_result *before, const bulk_result *now)
{
    static const char label[] = "outcome";

    count_more(with_label(m, BULK_CONTACTS_TOTAL, label, "sent"), before->sent, now->sent);
    count_more(with_label(m, BULK_CONTACTS_TOTAL, label, "refused"), before->refused, now->refused);
    count_more(with_label(m, BULK_CONTACTS_TOTAL, label, "changed"), before->changed, now->changed);
    count_more(with_label(m, BULK_CONTACTS_TOTAL, label, "returned"), before->returned,
               now->returned);
    count_more(with_label(m, BULK_RUNS_TOTAL, label, "done"), before->runs, now->runs);
}

void
agent_metrics_count_bulk_failure(agent_metrics *m)
{
    metrics_add(with_label(m, BULK_RUNS_TOTAL, "outcome", "failed"), 1);
}

void
agent_metrics_count_bulk_bytes(agent_metrics *m, long long bytes)
{
    metrics_add(plain(m, BULK_BYTES_TOTAL), (unsigned long long)bytes);
}

static void
prepare_bulk(agent_metrics *m)
{
    static const bulk_result nothing;

    agent_metrics_show_bulk(m, &(agent_bulk_state){.state = NULL});
    agent_metrics_count_bulk(m, &nothing, &nothing);
    metrics_add(with_label(m, BULK_RUNS_TOTAL, "outcome", "failed"), 0);
    agent_metrics_count_bulk_bytes(m, 0);
}

/* ---- life ------------------------------------------------------------------------- */

agent_metrics *
agent_metrics_new(void)
{
    agent_metrics *m = xcalloc(1, sizeof(*m));

    m->metrics = metrics_new(SERIES_MAX);
    if (m->metrics == NULL)
        abort(); /* no memory, as in xcalloc() */
    for (int i = 0; i < 2 * ACOUSTIC_TABLES * FAILURE_CLASSES; i++)
        prepare_requests(m, i % 2, i / 2 % ACOUSTIC_TABLES, i / 2 / ACOUSTIC_TABLES);
    for (int i = 0; i < FAILURE_CLASSES; i++) {
        if (classify_may_stop_line((failure_class)i))
            prepare_stopped(m, (failure_class)i);
    }
    metrics_add(plain(m, SYNCED), 0);
    metrics_add(plain(m, LOOPS), 0);
    agent_metrics_note_cycle(m, 0, &(queue_backlog){.waiting = 0});
    agent_metrics_show_in_flight(m, 0, 0);
    agent_metrics_show_stop(m, CLASS_SUCCESS);
    prepare_bulk(m);
    return m;
}

void
agent_metrics_free(agent_metrics *m)
{
    if (m == NULL)
        return;
    metrics_free(m->metrics);
    free(m);
}

void
agent_metrics_note_request(agent_metrics *m, acoustic_table table, bool is_deletion,
                           failure_class status, double duration_s)
{
    metrics_add(m->requests[is_deletion][table][status], 1);
    metrics_observe(m->durations[is_deletion][table][status], duration_s);
}

void
agent_metrics_note_synced(agent_metrics *m)
{
    metrics_add(plain(m, SYNCED), 1);
}

static metrics_series *
of_lane(agent_metrics *m, family which, queue_lane lane)
{
    static const char *const labels[] = {
        [LANE_LIVE] = COMMON_LABELS ",lane=\"live\"", [LANE_BULK] = COMMON_LABELS ",lane=\"bulk\""};

    return metrics_get(m->metrics, &families[which], labels[lane]);
}

void
agent_metrics_note_cycle(agent_metrics *m, double duration_s, const queue_backlog *backlog)
{
    /* Without the database nothing is done, and alerts know it by cycles that do not end. */
    if (duration_s > 0 && backlog != NULL)
        metrics_add(plain(m, LOOPS), 1);
    metrics_set(plain(m, LOOP_DURATION), duration_s);
    if (backlog == NULL)
        return;
    metrics_set(plain(m, BACKLOG), (double)backlog->waiting);
    metrics_set(plain(m, RETRIES), (double)backlog->failed);
    metrics_set(plain(m, AGE), backlog->ages_s[LANE_LIVE]);
    for (int lane = 0; lane < LANES; lane++) {
        metrics_set(of_lane(m, BACKLOG_LANE, lane), (double)backlog->lanes[lane]);
        metrics_set(of_lane(m, AGE_LANE, lane), backlog->ages_s[lane]);
    }
}

void
agent_metrics_show_in_flight(agent_metrics *m, int in_flight, int allowed)
{
    metrics_set(plain(m, IN_FLIGHT), in_flight);
    metrics_set(plain(m, IN_FLIGHT_ALLOWED), allowed);
}

void
agent_metrics_show_stop(agent_metrics *m, failure_class reason)
{
    for (int i = 0; i < FAILURE_CLASSES; i++) {
        if (m->stopped[i] != NULL)
            metrics_set(m->stopped[i], i == (int)reason);
    }
}

void
agent_metrics_write(const agent_metrics *m, buf *out)
{
    for (int i = 0; i < FAMILIES; i++)
        metrics_write(m->metrics, &families[i], out);
}
