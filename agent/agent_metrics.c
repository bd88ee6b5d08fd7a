/* agent_metrics.c: the families of metrics of the agent; see agent_metrics.h. */
#include "agent/agent_metrics.h"

#include <stdlib.h>

#include "common/metrics.h"

enum { SERIES_MAX = 256, CLASSES = CLASS_CONFIGURATION + 1 };

#define COMMON_LABELS                                                                              \
    "app_kubernetes_io_component=\"background\",app_kubernetes_io_instance=\"ctms\","              \
    "app_kubernetes_io_name=\"ctms\""

static const metrics_family requests = {
    .name = "ctms_background_acoustic_request_total",
    .help = "Requests to Acoustic that have ended.",
    .type = METRICS_COUNTER,
};
static const metrics_family durations = {
    .name = "ctms_background_acoustic_requests_duration",
    .help = "Seconds from a request to Acoustic to its answer.",
    .type = METRICS_HISTOGRAM,
    .bucket_count = 7,
    .buckets = {.01, .05, .1, .5, 1, 5, 10},
};
static const metrics_family synced = {
    .name = "ctms_background_acoustic_sync_total",
    .help = "Contacts that were sent completely.",
    .type = METRICS_COUNTER,
};
static const metrics_family retries = {
    .name = "ctms_background_acoustic_sync_retries",
    .help = "Contacts in the queue that have failed since they changed.",
    .type = METRICS_GAUGE,
};
static const metrics_family backlog = {
    .name = "ctms_background_acoustic_sync_backlog",
    .help = "Contacts in the queue that are to be sent.",
    .type = METRICS_GAUGE,
};
static const metrics_family loops = {
    .name = "ctms_background_acoustic_sync_loops",
    .help = "Cycles that have ended.",
    .type = METRICS_COUNTER,
};
static const metrics_family age = {
    .name = "ctms_background_acoustic_sync_age_s",
    .help = "Seconds since the oldest change that is ready to be sent.",
    .type = METRICS_GAUGE,
};
static const metrics_family loop_duration = {
    .name = "ctms_background_acoustic_sync_loop_duration_seconds",
    .help = "Time that the last cycle took.",
    .type = METRICS_GAUGE,
};
static const metrics_family in_flight_now = {
    .name = "ctms_background_acoustic_in_flight",
    .help = "Requests to Acoustic in flight.",
    .type = METRICS_GAUGE,
};
static const metrics_family in_flight_allowed = {
    .name = "ctms_background_acoustic_in_flight_allowed",
    .help = "Requests to Acoustic that this agent may have in flight now.",
    .type = METRICS_GAUGE,
};
static const metrics_family stopped = {
    .name = "ctms_background_acoustic_stopped",
    .help = "1 while nothing can be sent and an operator is needed.",
    .type = METRICS_GAUGE,
};

static const metrics_family *const families[] = {
    &requests, &durations,     &synced,        &retries,           &backlog, &loops,
    &age,      &loop_duration, &in_flight_now, &in_flight_allowed, &stopped};

struct agent_metrics {
    metrics *metrics;
    /* first those that store, then those that delete */
    metrics_series *requests[2][ACOUSTIC_TABLES][CLASSES];
    metrics_series *durations[2][ACOUSTIC_TABLES][CLASSES];
    metrics_series *stopped[CLASSES];
};

static metrics_series *
plain(agent_metrics *m, const metrics_family *family)
{
    return metrics_get(m->metrics, family, COMMON_LABELS);
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
    m->requests[is_deletion][table][class] = metrics_get(m->metrics, &requests, buf_text(&labels));
    m->durations[is_deletion][table][class] =
        metrics_get(m->metrics, &durations, buf_text(&labels));
    buf_free(&labels);
}

static void
prepare_stopped(agent_metrics *m, failure_class class)
{
    buf labels = BUF_INIT;

    buf_append_string(&labels, COMMON_LABELS);
    metrics_append_label(&labels, "reason", classify_class_name(class));
    m->stopped[class] = metrics_get(m->metrics, &stopped, buf_text(&labels));
    buf_free(&labels);
}

agent_metrics *
agent_metrics_new(void)
{
    agent_metrics *m = xcalloc(1, sizeof(*m));

    m->metrics = metrics_new(SERIES_MAX);
    if (m->metrics == NULL)
        abort(); /* no memory, as in xcalloc() */
    for (int i = 0; i < 2 * ACOUSTIC_TABLES * CLASSES; i++)
        prepare_requests(m, i % 2, i / 2 % ACOUSTIC_TABLES, i / 2 / ACOUSTIC_TABLES);
    prepare_stopped(m, CLASS_AUTHENTICATION);
    prepare_stopped(m, CLASS_CONFIGURATION);
    metrics_add(plain(m, &synced), 0);
    metrics_add(plain(m, &loops), 0);
    agent_metrics_note_cycle(m, 0, 0, 0, 0);
    agent_metrics_show_in_flight(m, 0, 0);
    agent_metrics_show_stop(m, CLASS_SUCCESS);
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
    metrics_add(plain(m, &synced), 1);
}

static void
set_known(agent_metrics *m, const metrics_family *family, double value)
{
    if (value >= 0)
        metrics_set(plain(m, family), value);
}

void
agent_metrics_note_cycle(agent_metrics *m, double duration_s, double waiting, double failed,
                         double age_s)
{
    if (duration_s > 0)
        metrics_add(plain(m, &loops), 1);
    set_known(m, &loop_duration, duration_s);
    set_known(m, &backlog, waiting);
    set_known(m, &retries, failed);
    set_known(m, &age, age_s);
}

void
agent_metrics_show_in_flight(agent_metrics *m, int in_flight, int allowed)
{
    metrics_set(plain(m, &in_flight_now), in_flight);
    metrics_set(plain(m, &in_flight_allowed), allowed);
}

void
agent_metrics_show_stop(agent_metrics *m, failure_class reason)
{
    metrics_set(m->stopped[CLASS_AUTHENTICATION], reason == CLASS_AUTHENTICATION);
    metrics_set(m->stopped[CLASS_CONFIGURATION], reason == CLASS_CONFIGURATION);
}

void
agent_metrics_write(const agent_metrics *m, buf *out)
{
    for (size_t i = 0; i < sizeof(families) / sizeof(*families); i++)
        metrics_write(m->metrics, families[i], out);
}
