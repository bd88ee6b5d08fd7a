/*
 * metrics.h: the families of metrics of the REST server. exchange.c, replicas.c, resource.c,
 * service.c and worker.c count with it; the series themselves are in common/metrics.h.
 */
#ifndef CTMS_REST_REST_METRICS_H
#define CTMS_REST_REST_METRICS_H

#include "rest/exchange.h"
#include "rest/route.h"

/* Makes all known combinations of labels, with the value zero. Call it before the processes
 * fork. */
void rest_metrics_prepare(metrics *m, const route *routes, size_t count);

void rest_metrics_count(const exchange *ex, int status, double duration_s);
/* Counts bytes that never became a request. */
void rest_metrics_count_refused(metrics *m, int status);
/* Counts a body in which vpn_waitlist or relay_waitlist has an effect. */
void rest_metrics_count_legacy_waitlists(metrics *m);
void rest_metrics_set_backlog(metrics *m, double backlog);
void rest_metrics_set_contacts(metrics *m, double contacts);
void rest_metrics_set_refused(metrics *m, double refused);

/* The series of reads with CTMS_DB_READ_URL. */
metrics_series *rest_metrics_get_reads(metrics *m, const char *name, const char *outcome);

/* Appends all families as text. Without a token for /metrics, no client is named. */
void rest_metrics_write(const app *a, buf *out);

#endif
