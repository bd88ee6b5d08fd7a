/*
 * metrics.h: counters, gauges and histograms for Prometheus, shared by forked processes.
 *
 * The values are in memory that is shared with the processes forked after metrics_new(), so that
 * any of them can answer for all. Updates are atomic and take no lock. Series are never removed.
 * The families themselves belong to rest/metrics.c and agent/metrics.c.
 */
#ifndef CTMS_COMMON_METRICS_H
#define CTMS_COMMON_METRICS_H

#include <stddef.h>

#include "common/buf.h"

#define METRICS_BUCKETS_MAX 14

typedef enum metrics_type {
    METRICS_COUNTER,
    METRICS_GAUGE,
    METRICS_HISTOGRAM,
} metrics_type;

/* Static, and at the same address in all processes: a series remembers its family by its
 * address. */
typedef struct metrics_family {
    const char *name;
    const char *help;
    metrics_type type;
    int bucket_count; /* of a histogram; the last bucket, +Inf, is not listed */
    double buckets[METRICS_BUCKETS_MAX];
} metrics_family;

typedef struct metrics metrics;
typedef struct metrics_series metrics_series;

/* Makes room for that many series; any others are not shown. NULL when there is no memory. */
metrics *metrics_new(size_t series_max);
void metrics_free(metrics *m);

/*
 * The series of a family with these labels (`name="value",…`, or ""). It is made if it does not
 * exist. Never NULL; valid as long as the metrics. Keep the pointer when the same labels come
 * often.
 */
metrics_series *metrics_get(metrics *m, const metrics_family *family, const char *labels);

void metrics_add(metrics_series *series, unsigned long long count); /* counter */
void metrics_set(metrics_series *series, double value);             /* gauge */
void metrics_observe(metrics_series *series, double value);         /* histogram */

/* Appends `name="value"`, escaped, with a comma before it unless labels is empty. */
void metrics_append_label(buf *labels, const char *name, const char *value);

/* Appends the text format of the family and all its series, sorted by labels. */
void metrics_write(const metrics *m, const metrics_family *family, buf *out);

#endif
