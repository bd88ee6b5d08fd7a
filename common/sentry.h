/*
 * sentry.h: reports unexpected errors to Sentry, as envelopes, from the event loop.
 *
 * A report never blocks, fails or delays its caller. It contains nothing of a request except the
 * tags: a fixed message, names from our own tables, SQLSTATEs, and the id under which the log has
 * the details. A process sends at most SENTRY_PER_MINUTE reports in a minute and has at most
 * SENTRY_IN_FLIGHT in flight. Reports beyond that are only counted, and the next report says how
 * many.
 *
 * Before sentry_open(), after sentry_close() and without a DSN nothing is sent. Only the thread of
 * the event loop may report.
 */
#ifndef CTMS_COMMON_SENTRY_H
#define CTMS_COMMON_SENTRY_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/log.h"

#define SENTRY_PER_MINUTE 10
#define SENTRY_IN_FLIGHT 4

typedef struct sentry_options {
    const char *dsn; /* NULL or empty: no reports */
    const char *program;
    bool is_debug; /* logs what is sent */
} sentry_options;

/* Returns false, with a message, when the DSN is not valid; then nothing is sent. */
bool
sentry_open(struct event_base *base, const sentry_options *options, char *message, size_t size);
/* Reports in flight are dropped. */
void sentry_close(void);

/* Parses a DSN: the URL that takes its envelopes, and its key; the caller frees both. Returns false
 * when the DSN is not valid. Also for tests. */
bool sentry_parse_dsn(const char *dsn, char **url, char **key);

/* A name and its value; entries without a value are left out. */
typedef struct sentry_tag {
    const char *name;
    const char *value;
} sentry_tag;

/* message must not contain anything that came from outside. */
void sentry_report(log_level level, const char *logger, const char *message, const sentry_tag *tags,
                   size_t tag_count);

#endif
