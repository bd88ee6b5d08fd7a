/*
 * jobs.c: has imports work in slices of the event loop, so that requests hardly wait for them; see
 * jobs.h.
 */
#include "test/acoustic-sandbox/jobs.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/buf.h"
#include "common/clock.h"

enum { SLICE_MS = 1, PAUSE_MS = 5, MAX_JOBS = 10000 };

static void
arm(struct jobs *jobs, long delay_ms)
{
    struct timeval delay = {delay_ms / 1000, delay_ms % 1000 * 1000};

    event_add(jobs->timer, &delay);
}

/* A rule is looked for once, when the job is about to start. */
static void
take_rule(struct jobs *jobs, struct job *job)
{
    const struct fault *fault = fault_find_for_job(&jobs->context.settings->faults, job->table);

    job->has_rule = true;
    if (fault == NULL)
        return;
    jobs->context.store->counts.faults++;
    job->delay_ms = fault->delay_ms;
    job->end_after = fault->skip_rows;
    job->end_status = strcmp(fault->job_status, "ERROR") == 0 ? JOB_ERROR : JOB_CANCELED;
}

static double
wait_ms_of(const struct jobs *jobs, const struct job *job)
{
    return (double)(jobs->context.settings->job_wait_ms + job->delay_ms) -
           (job_time_s() - job->created_s) * 1e3;
}

/* True when the job is running. */
static bool
start_when_due(struct jobs *jobs, struct job *job)
{
    double wait_ms;

    if (job->status != JOB_WAITING)
        return true;
    if (!job->has_rule && wait_ms_of(jobs, job) <= 0)
        take_rule(jobs, job);
    wait_ms = wait_ms_of(jobs, job);
    if (wait_ms > 0) {
        arm(jobs, wait_ms < 60000 ? (long)wait_ms + 1 : 60000);
        return false;
    }
    jobs->allowed_rows = 0;
    jobs->looked_s = clock_now_s();
    job_start(&jobs->context, job);
    return true;
}

static void
step(struct jobs *jobs, struct job *job)
{
    long rate = jobs->context.settings->job_rows_per_second;
    double now_s = clock_now_s();
    long rows;

    jobs->allowed_rows += (double)rate * (now_s - jobs->looked_s);
    jobs->looked_s = now_s;
    rows = job_step(&jobs->context, job, rate > 0 ? (long)jobs->allowed_rows : LONG_MAX,
                    now_s + SLICE_MS / 1e3);
    jobs->allowed_rows = rate > 0 ? jobs->allowed_rows - (double)rows : 0;
}

static void
on_timer(evutil_socket_t fd, short what, void *context)
{
    struct jobs *jobs = context;
    struct job *job = jobs->current;

    (void)fd;
    (void)what;
    if (job == NULL || !start_when_due(jobs, job))
        return;
    if (job->status == JOB_RUNNING)
        step(jobs, job);
    if (job->status != JOB_RUNNING)
        jobs->current = job->next;
    else if (jobs->context.settings->job_rows_per_second > 0 && jobs->allowed_rows < 1) {
        arm(jobs, PAUSE_MS);
        return;
    }
    if (jobs->current != NULL)
        arm(jobs, 0);
}

void
jobs_start(struct jobs *jobs, struct event_base *base, const struct job_context *context)
{
    /* Ids are not used again by the next sandbox, whose files lie in the same folder. */
    *jobs = (struct jobs){.context = *context, .last_id = (long)time(NULL)};
    jobs->timer = event_new(base, -1, 0, on_timer, jobs);
}

static void
remove_first(struct jobs *jobs)
{
    struct job *job = jobs->first;

    jobs->first = job->next;
    jobs->count--;
    job_free(job);
}

void
jobs_clear(struct jobs *jobs)
{
    while (jobs->first != NULL)
        remove_first(jobs);
    jobs->last = jobs->current = NULL;
    event_del(jobs->timer);
}

void
jobs_stop(struct jobs *jobs)
{
    jobs_clear(jobs);
    event_free(jobs->timer);
    jobs->timer = NULL;
}

void
jobs_wake(struct jobs *jobs)
{
    if (jobs->current != NULL)
        arm(jobs, 0);
}

const struct job *
jobs_add(struct jobs *jobs, const char *operation, enum table table, const char *map_file,
         const char *source_file)
{
    struct job *job = xcalloc(1, sizeof(*job));

    *job = (struct job){.id = ++jobs->last_id,
                        .operation = operation,
                        .table = table,
                        .created_s = job_time_s(),
                        .end_after = -1};
    snprintf(job->map_file, sizeof(job->map_file), "%s", map_file);
    snprintf(job->source_file, sizeof(job->source_file), "%s", source_file);
    snprintf(job->description, sizeof(job->description), "Importing %s", source_file);
    if (jobs->count >= MAX_JOBS && jobs->first != jobs->current)
        remove_first(jobs);
    if (jobs->first == NULL)
        jobs->first = job;
    else
        jobs->last->next = job;
    jobs->last = job;
    jobs->count++;
    if (jobs->current == NULL) {
        jobs->current = job;
        arm(jobs, 0);
    }
    return job;
}

const struct job *
jobs_find(const struct jobs *jobs, const char *id)
{
    char text[32];

    for (const struct job *job = jobs->first; job != NULL; job = job->next) {
        snprintf(text, sizeof(text), "%ld", job->id);
        if (strcmp(text, id) == 0)
            return job;
    }
    return NULL;
}

static json_t *
job_json(const struct job *job)
{
    const struct job_counts *c = &job->counts;

    return json_pack(
        "{s:I, s:s, s:s, s:s, s:s, s:s, s:s, s:f, s:f, s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:b, "
        "s:b}",
        "job_id", (json_int_t)job->id, "operation", job->operation, "table",
        job->table < TABLE_COUNT ? store_table_names[job->table] : "", "map_file", job->map_file,
        "source_file", job->source_file, "status", job_status_names[job->status], "description",
        job->description, "created", job->created_s, "started", job->started_s, "ended",
        job->ended_s, "total_rows", (json_int_t)c->total, "added", (json_int_t)c->added, "updated",
        (json_int_t)c->updated, "bad_addresses", (json_int_t)c->bad_addresses, "bad_records",
        (json_int_t)c->bad_records, "not_allowed", (json_int_t)c->not_allowed, "has_results",
        (int)job->has_results, "has_errors", (int)job->has_errors);
}

json_t *
jobs_json(const struct jobs *jobs)
{
    json_t *list = json_array();

    for (const struct job *job = jobs->first; job != NULL; job = job->next)
        json_array_append_new(list, job_json(job));
    return list;
}

json_t *
jobs_counts_json(const struct jobs *jobs)
{
    long counts[JOB_STATUS_COUNT] = {0};
    json_t *object = json_object();

    for (const struct job *job = jobs->first; job != NULL; job = job->next)
        counts[job->status]++;
    for (int i = 0; i < JOB_STATUS_COUNT; i++)
        json_object_set_new(object, job_status_names[i], json_integer(counts[i]));
    return object;
}
