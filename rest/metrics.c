/* metrics.c: the families of metrics of the REST server; see metrics.h. */
#include "rest/metrics.h"

#include <stdio.h>
#include <string.h>

#include "rest/route.h"

/* The label of requests that match no route. */
#define UNKNOWN_PATH "unknown"
#define UNKNOWN_METHOD "OTHER"

static const metrics_family requests = {
    .name = "ctms_requests_total",
    .help = "Requests answered.",
    .type = METRICS_COUNTER,
};
static const metrics_family durations = {
    .name = "ctms_requests_duration_seconds",
    .help = "Time from a request to its answer.",
    .type = METRICS_HISTOGRAM,
    .bucket_count = 7,
    .buckets = {.01, .05, .1, .5, 1, 5, 10},
};
static const metrics_family api_requests = {
    .name = "ctms_api_requests_total",
    .help = "Requests answered, by API client.",
    .type = METRICS_COUNTER,
};
/* What everybody may see instead. */
static const metrics_family known_requests = {
    .name = "ctms_api_requests_total",
    .help = "Requests answered to API clients.",
    .type = METRICS_COUNTER,
};
static const metrics_family backlog = {
    .name = "ctms_pending_acoustic_sync_total",
    .help = "Contacts that wait to be sent to Acoustic.",
    .type = METRICS_GAUGE,
};
static const metrics_family legacy_waitlists = {
    .name = "ctms_legacy_waitlists_requests_total",
    .help = "Requests with vpn_waitlist or relay_waitlist.",
    .type = METRICS_COUNTER,
};
static const metrics_family contacts = {
    .name = "ctms_contacts_total",
    .help = "Contacts, by the planner's estimate.",
    .type = METRICS_GAUGE,
};

static const metrics_family refused = {
    .name = "ctms_stripe_refused",
    .help = "Refused Stripe objects and messages that are kept.",
    .type = METRICS_GAUGE,
};

static const metrics_family reads = {
    .name = "ctms_db_reads_total",
    .help = "Reads by the server that was asked: its number in CTMS_DB_READ_URL, or primary.",
    .type = METRICS_COUNTER,
};

static const char *
method_label(const http_request *request)
{
    return request->method == HTTP_OTHER ? UNKNOWN_METHOD : request->method_name;
}

static const char *
family_label(int status)
{
    static const char *const families[] = {"1xx", "2xx", "3xx", "4xx", "5xx"};

    return status >= 100 && status < 600 ? families[status / 100 - 1] : "5xx";
}

static metrics_series *
request_series(metrics *m, const char *method, const char *path, int status)
{
    char labels[256];

    snprintf(labels, sizeof(labels),
             "method=\"%s\",path_template=\"%s\",status_code=\"%d\",status_code_family=\"%s\"",
             method, path, status, family_label(status));
    return metrics_get(m, &requests, labels);
}

static metrics_series *
duration_series(metrics *m, const char *method, const char *path, int status)
{
    char labels[256];

    snprintf(labels, sizeof(labels), "method=\"%s\",path_template=\"%s\",status_code_family=\"%s\"",
             method, path, family_label(status));
    return metrics_get(m, &durations, labels);
}

void
rest_metrics_prepare(metrics *m, const route *routes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const route *r = &routes[i];

        for (size_t j = 0; j < ROUTE_STATUSES_MAX && r->statuses[j] != 0; j++) {
            request_series(m, http_method_name(r->method), r->path, r->statuses[j]);
            duration_series(m, http_method_name(r->method), r->path, r->statuses[j]);
        }
    }
    metrics_get(m, &backlog, "");
    metrics_get(m, &legacy_waitlists, "");
    metrics_get(m, &contacts, "");
    metrics_get(m, &refused, "");
}

/*
 * Without a token for /metrics everybody sees the counters, so no client is named, and a request
 * for a token that was refused is not counted: that would tell whether its client exists.
 */
static void
count_client(const exchange *ex, const char *method, const char *path, int status)
{
    bool are_clients_named = ex->app->metrics_token != NULL;
    buf labels = BUF_INIT;

    if (ex->client_id == NULL || !ex->is_client_known)
        return;
    if (!are_clients_named && ex->route->access == ACCESS_PUBLIC && status >= 400)
        return;
    metrics_append_label(&labels, "method", method);
    metrics_append_label(&labels, "path_template", path);
    if (are_clients_named)
        metrics_append_label(&labels, "client_id", ex->client_id);
    metrics_append_label(&labels, "status_code_family", family_label(status));
    metrics_add(metrics_get(ex->app->metrics, are_clients_named ? &api_requests : &known_requests,
                            buf_text(&labels)),
                1);
    buf_free(&labels);
}

void
rest_metrics_count(const exchange *ex, int status, double duration_s)
{
    metrics *m = ex->app->metrics;
    const char *method = method_label(ex->request);
    const char *path = ex->path_template[0] ? ex->path_template : UNKNOWN_PATH;

    metrics_add(request_series(m, method, path, status), 1);
    metrics_observe(duration_series(m, method, path, status), duration_s);
    count_client(ex, method, path, status);
}

void
rest_metrics_count_refused(metrics *m, int status)
{
    metrics_add(request_series(m, UNKNOWN_METHOD, UNKNOWN_PATH, status), 1);
}

void
rest_metrics_count_legacy_waitlists(metrics *m)
{
    metrics_add(metrics_get(m, &legacy_waitlists, ""), 1);
}

void
rest_metrics_set_backlog(metrics *m, double value)
{
    metrics_set(metrics_get(m, &backlog, ""), value);
}

void
rest_metrics_set_contacts(metrics *m, double value)
{
    metrics_set(metrics_get(m, &contacts, ""), value);
}

void
rest_metrics_set_refused(metrics *m, double value)
{
    metrics_set(metrics_get(m, &refused, ""), value);
}

metrics_series *
rest_metrics_get_reads(metrics *m, const char *name, const char *outcome)
{
    char labels[64];

    snprintf(labels, sizeof(labels), "server=\"%s\",outcome=\"%s\"", name, outcome);
    return metrics_get(m, &reads, labels);
}

void
rest_metrics_write(const app *a, buf *out)
{
    const metrics_family *const families[] = {&requests,
                                              &durations,
                                              a->metrics_token ? &api_requests : &known_requests,
                                              &backlog,
                                              &legacy_waitlists,
                                              &contacts,
                                              &refused,
                                              &reads};

    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
        metrics_write(a->metrics, families[i], out);
}
