/*
 * jobs.h: the imports, which are done one after the other in the order of their calls. import.c
 * adds them; server.c and page.c show them.
 */
#ifndef CTMS_TEST_ACOUSTIC_SANDBOX_JOBS_H
#define CTMS_TEST_ACOUSTIC_SANDBOX_JOBS_H

#include <event2/event.h>

#include "test/acoustic-sandbox/job.h"

struct jobs {
    struct job_context context;
    struct event *timer; /* of the job that is waited for, or at work */
    struct job *first, *last;
    struct job *current; /* the first that has not ended; null: all have */
    long count;
    long last_id;
    double allowed_rows; /* with job_rows_per_second: that may be stored now */
    double looked_s;     /* when these were counted */
};

void jobs_start(struct jobs *jobs, struct event_base *base, const struct job_context *context);
/* Ends all; their files stay. */
void jobs_stop(struct jobs *jobs);
/* The same, but others may come. */
void jobs_clear(struct jobs *jobs);
const struct job *jobs_add(struct jobs *jobs, const char *operation, enum table table,
                           const char *map_file, const char *source_file);
const struct job *jobs_find(const struct jobs *jobs, const char *id);
/* Looks at the settings again. */
void jobs_wake(struct jobs *jobs);
/* In the order of their calls. The caller owns the result. */
json_t *jobs_json(const struct jobs *jobs);
/* How many there are of each status. */
json_t *jobs_counts_json(const struct jobs *jobs);

#endif
