/* metrics.h: the families of metrics of the REST server. */
#ifndef CTMS_REST_REST_METRICS_H
#define CTMS_REST_REST_METRICS_H

#include "rest/exchange.h"
#include "rest/route.h"

/* Makes all known combinations of labels, at zero. Before the processes fork. */
void rest_metrics_prepare(metrics *m, const route *routes, size_t count);

void rest_metrics_count(const exchange *ex, int status, double duration_s);
/* A request that never became one. */
void rest_metrics_count_refused(metrics *m, int status);
/* A body with vpn_waitlist or relay_waitlist that applies. */
void rest_metrics_count_legacy_waitlists(metrics *m);
void rest_metrics_set_backlog(metrics *m, double backlog);
void rest_metrics_set_contacts(metrics *m, double contacts);

/* Appends all families as text. */
void rest_metrics_write(const metrics *m, buf *out);

#endif
