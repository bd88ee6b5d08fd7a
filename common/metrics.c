/*
 * metrics.c: counters, gauges and histograms for Prometheus, shared by forked processes; see
 * metrics.h.
 */
#include "common/metrics.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/hash.h"

#define LABELS_MAX 256

enum { SLOT_FREE, SLOT_BEING_MADE, SLOT_READY };

struct metrics_series {
    int state;
    const metrics_family *family;
    char labels[LABELS_MAX];
    uint64_t count;                            /* a counter's value; observations of a histogram */
    double value;                              /* a gauge's value; sum of a histogram */
    uint64_t buckets[METRICS_BUCKETS_MAX + 1]; /* not cumulative */
};

struct metrics {
    size_t size;
    size_t slots;
    metrics_series overflow; /* counts everything that has no slot */
    metrics_series series[];
};

metrics *
metrics_new(size_t series_max)
{
    size_t slots = series_max * 2;
    size_t size = sizeof(metrics) + slots * sizeof(metrics_series);
    metrics *m = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (m == MAP_FAILED)
        return NULL;
    m->size = size;
    m->slots = slots;
    return m;
}

void
metrics_free(metrics *m)
{
    if (m != NULL)
        munmap(m, m->size);
}

/* Takes a free slot for the series. Returns false when another process was faster. */
static bool
make_series(metrics_series *series, const metrics_family *family, const char *labels)
{
    int expected = SLOT_FREE;

    if (!__atomic_compare_exchange_n(&series->state, &expected, SLOT_BEING_MADE, false,
                                     __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return false;
    series->family = family;
    strcpy(series->labels, labels);
    __atomic_store_n(&series->state, SLOT_READY, __ATOMIC_RELEASE);
    return true;
}

metrics_series *
metrics_get(metrics *m, const metrics_family *family, const char *labels)
{
    size_t start = (size_t)hash_string((uintptr_t)family, labels);

    if (strlen(labels) >= LABELS_MAX)
        return &m->overflow;
    for (size_t i = 0; i < m->slots / 2; i++) {
        metrics_series *series = &m->series[(start + i) % m->slots];

        if (__atomic_load_n(&series->state, __ATOMIC_ACQUIRE) == SLOT_FREE &&
            make_series(series, family, labels))
            return series;
        /* A process that dies in between leaves a slot that is never ready; it is skipped. */
        for (int spin = 0; spin < 1000; spin++) {
            if (__atomic_load_n(&series->state, __ATOMIC_ACQUIRE) == SLOT_READY)
                break;
        }
        if (__atomic_load_n(&series->state, __ATOMIC_ACQUIRE) == SLOT_READY &&
            series->family == family && strcmp(series->labels, labels) == 0)
            return series;
    }
    return &m->overflow;
}

void
metrics_add(metrics_series *series, unsigned long long count)
{
    __atomic_fetch_add(&series->count, count, __ATOMIC_RELAXED);
}

void
metrics_set(metrics_series *series, double value)
{
    __atomic_store(&series->value, &value, __ATOMIC_RELAXED);
}

static void
add_value(metrics_series *series, double value)
{
    double old, sum;

    __atomic_load(&series->value, &old, __ATOMIC_RELAXED);
    do {
        sum = old + value;
    } while (!__atomic_compare_exchange(&series->value, &old, &sum, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED));
}

void
metrics_observe(metrics_series *series, double value)
{
    const metrics_family *family = series->family;
    int bucket = 0;

    if (family == NULL)
        return;
    while (bucket < family->bucket_count && value > family->buckets[bucket])
        bucket++;
    __atomic_fetch_add(&series->buckets[bucket], 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&series->count, 1, __ATOMIC_RELAXED);
    add_value(series, value);
}

void
metrics_append_label(buf *labels, const char *name, const char *value)
{
    if (labels->length > 0)
        buf_append_char(labels, ',');
    buf_printf(labels, "%s=\"", name);
    for (; *value != '\0'; value++) {
        if (*value == '"' || *value == '\\')
            buf_append_char(labels, '\\');
        if (*value == '\n')
            buf_append_string(labels, "\\n");
        else
            buf_append_char(labels, *value);
    }
    buf_append_char(labels, '"');
}

/* ---- text ------------------------------------------------------------------- */

static int
compare_labels(const void *a, const void *b)
{
    const metrics_series *const *left = a;
    const metrics_series *const *right = b;

    return strcmp((*left)->labels, (*right)->labels);
}

static void
write_number(buf *out, double value)
{
    if (value == floor(value) && fabs(value) < 1e15)
        buf_printf(out, "%.0f", value);
    else
        buf_printf(out, "%.9g", value);
}

static void
write_value(buf *out, const char *name, const char *suffix, const char *labels, const char *le)
{
    bool has_labels = labels[0] != '\0';

    buf_printf(out, "%s%s", name, suffix);
    if (has_labels || le != NULL)
        buf_printf(out, "{%s%s%s%s%s}", labels, has_labels && le ? "," : "", le ? "le=\"" : "",
                   le ? le : "", le ? "\"" : "");
    buf_append_char(out, ' ');
}

static void
write_histogram(const metrics_series *series, buf *out)
{
    const metrics_family *family = series->family;
    uint64_t total = 0;

    for (int i = 0; i <= family->bucket_count; i++) {
        buf le = BUF_INIT;

        total += __atomic_load_n(&series->buckets[i], __ATOMIC_RELAXED);
        if (i < family->bucket_count)
            buf_printf(&le, family->buckets[i] == floor(family->buckets[i]) ? "%.1f" : "%.9g",
                       family->buckets[i]);
        else
            buf_append_string(&le, "+Inf");
        write_value(out, family->name, "_bucket", series->labels, buf_text(&le));
        buf_printf(out, "%llu\n", (unsigned long long)total);
        buf_free(&le);
    }
    write_value(out, family->name, "_sum", series->labels, NULL);
    write_number(out, series->value);
    buf_append_char(out, '\n');
    write_value(out, family->name, "_count", series->labels, NULL);
    buf_printf(out, "%llu\n", (unsigned long long)total);
}

static void
write_series(const metrics_series *series, buf *out)
{
    const metrics_family *family = series->family;

    switch (family->type) {
    case METRICS_COUNTER:
        write_value(out, family->name, "", series->labels, NULL);
        buf_printf(out, "%llu\n",
                   (unsigned long long)__atomic_load_n(&series->count, __ATOMIC_RELAXED));
        break;
    case METRICS_GAUGE:
        write_value(out, family->name, "", series->labels, NULL);
        write_number(out, series->value);
        buf_append_char(out, '\n');
        break;
    case METRICS_HISTOGRAM: write_histogram(series, out); break;
    }
}

static const char *
type_name(metrics_type type)
{
    switch (type) {
    case METRICS_COUNTER: return "counter";
    case METRICS_GAUGE: return "gauge";
    case METRICS_HISTOGRAM: return "histogram";
    }
    return "untyped";
}

void
metrics_write(const metrics *m, const metrics_family *family, buf *out)
{
    const metrics_series **found = xcalloc(m->slots, sizeof(*found));
    size_t count = 0;

    for (size_t i = 0; i < m->slots; i++) {
        const metrics_series *series = &m->series[i];

        if (__atomic_load_n(&series->state, __ATOMIC_ACQUIRE) == SLOT_READY &&
            series->family == family)
            found[count++] = series;
    }
    qsort(found, count, sizeof(*found), compare_labels);
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", family->name, family->help, family->name,
               type_name(family->type));
    for (size_t i = 0; i < count; i++)
        write_series(found[i], out);
    free(found);
}
