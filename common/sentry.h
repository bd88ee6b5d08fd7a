/*
 * sentry.h: reports unexpected errors to Sentry, as envelopes, from the event loop.
 *
 * A report never blocks, fails or delays its caller, and carries nothing of a request but what
 * its tags say: a fixed message, names from our own tables, SQLSTATEs, the id under which the
 * log has the rest. At most SENTRY_PER_MINUTE are sent in a minute by one process, at most
 * SENTRY_IN_FLIGHT are under way; what is beyond is counted, and the next report says how many.
 *
 * Until sentry_open(), after sentry_close() and without a DSN reports go nowhere. Only the thread
 * of the event loop may report.
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

/* False, with message filled in, when the DSN is none; reports go nowhere then. */
bool
sentry_open(struct event_base *base, const sentry_options *options, char *message, size_t size);
/* Reports that are under way are given up. */
void sentry_close(void);

/* Where envelopes of a DSN go, and its key, both to be freed. False when it is no DSN. For tests
 * too. */
bool sentry_parse_dsn(const char *dsn, char **url, char **key);

/* A name and its value; entries without a value are left out. */
typedef struct sentry_tag {
    const char *name;
    const char *value;
} sentry_tag;

/* message must not be made from anything that came from outside. */
void sentry_report(log_level level, const char *logger, const char *message, const sentry_tag *tags,
                   size_t tag_count);

#endif
