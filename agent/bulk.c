/* bulk.c: decides when a run is worked on, and follows the process; see bulk.h. */
#include "agent/bulk.h"

#include <stdlib.h>
#include <string.h>

#include "agent/bulk_line.h"
#include "agent/bulk_process.h"
#include "agent/drain.h"
#include "agent/report.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/sentry.h"

/* After a failure: a minute, and at most an hour, at the usual loop interval of 5 s. */
#define BACKOFF_MIN_LOOPS 12
#define BACKOFF_MAX_LOOPS 720

static const pg_statement status_statement = {
    "SELECT state, is_running, contacts, age_s, bulk_backlog, last_state, files_left"
    " FROM ctms.acoustic_bulk_status()",
    0,
    true,
    "state,is_running,contacts,age_s,bulk_backlog,last_state,files_left",
    PG_ONE_ROW,
    false};

struct agent_bulk {
    struct event_base *base;
    agent_bulk_options options;
    struct event *tick;
    bulk_process *process; /* null: none runs */
    bulk_result told;      /* by it */
    bulk_result counted;   /* of it, in the metrics */
    bulk_outcome outcome;  /* of it */
    bool has_ended;        /* it has told its outcome */
    int failures;          /* since a run was last done */
    double next_start_s;
    bool is_asking;
    bool is_ask_failing; /* logged already */
    bool is_stopping;
    double deadline_s; /* when it is killed */
};

/* ---- what the process tells ------------------------------------------------------- */

/* The last run is counted as one that is done when it is known that it was not given up. */
static void
count_result(agent_bulk *b, bool is_last_done)
{
    bulk_result result = b->told;

    if (!is_last_done && result.runs > 0)
        result.runs--;
    agent_metrics_count_bulk(b->options.metrics, &b->counted, &result);
    b->counted = result;
}

static void
on_line(void *arg, const bulk_line *line)
{
    agent_bulk *b = arg;

    switch (line->kind) {
    case BULK_LINE_LOG: log_message(line->level, REPORT_BULK, "%s", line->message); break;
    case BULK_LINE_BYTES: agent_metrics_count_bulk_bytes(b->options.metrics, line->bytes); break;
    case BULK_LINE_RESULT:
        b->told = line->result;
        count_result(b, false);
        break;
    case BULK_LINE_END:
        b->has_ended = true;
        b->outcome = line->outcome;
        if (line->message[0] != '\0')
            log_message(line->outcome == BULK_FAILED || line->outcome == BULK_UNAVAILABLE
                            ? LOG_LEVEL_ERROR
                            : LOG_LEVEL_INFO,
                        REPORT_BULK, "%s", line->message);
        break;
    }
}

/* ---- the end of the process ------------------------------------------------------- */

static void
back_off(agent_bulk *b)
{
    double loop_s = b->options.settings->loop_s;

    b->next_start_s = clock_now_s() + clock_backoff_s(BACKOFF_MIN_LOOPS * loop_s,
                                                      BACKOFF_MAX_LOOPS * loop_s, b->failures++);
}

static void
judge(agent_bulk *b)
{
    switch (b->outcome) {
    case BULK_DONE:
    case BULK_IDLE:
        /* What waits may be none of a run's: without this we would look for it again and again. */
        if (b->told.runs > 0)
            b->failures = 0;
        else
            back_off(b);
        break;
    case BULK_BUSY:
    case BULK_STOPPED: break;
    case BULK_FAILED:
        agent_metrics_count_bulk_failure(b->options.metrics);
        sentry_report(LOG_LEVEL_ERROR, REPORT_BULK, "a run by file was given up", NULL, 0);
        back_off(b);
        break;
    case BULK_UNAVAILABLE: back_off(b); break;
    }
}

static void
on_end(void *arg, const char *how)
{
    agent_bulk *b = arg;

    bulk_process_free(b->process);
    b->process = NULL;
    count_result(b, !b->has_ended || b->outcome != BULK_FAILED);
    if (b->has_ended) {
        judge(b);
        return;
    }
    log_message(LOG_LEVEL_ERROR, REPORT_BULK, "the process that sends by file has ended: %s", how);
    back_off(b);
}

/* ---- when it is started ----------------------------------------------------------- */

static bool
is_allowed(const agent_bulk *b)
{
    const agent_settings *settings = b->options.settings;

    return settings->is_sync_enabled && settings->is_integration_enabled &&
           settings->is_bulk_ready && !b->is_stopping;
}

static void
start(agent_bulk *b, bulk_main_mode mode)
{
    b->counted = b->told = (bulk_result){.runs = 0};
    b->has_ended = false;
    b->process = bulk_process_start(b->base, b->options.arguments, mode,
                                    &(bulk_process_events){on_line, on_end, b});
    if (b->process == NULL)
        back_off(b);
}

/* A run that nobody works on, or many contacts in bulk. */
static void
consider(agent_bulk *b, bool is_open, bool is_running, long long backlog)
{
    long long from = b->options.settings->bulk_from;

    if (b->process != NULL || !is_allowed(b) || clock_now_s() < b->next_start_s || is_running)
        return;
    if (!is_open && (from == 0 || backlog <= from))
        return;
    if (is_open)
        log_message(LOG_LEVEL_INFO, REPORT_BULK, "goes on with a run that nobody works on");
    else
        /* How many is an estimate. */
        log_message(LOG_LEVEL_INFO, REPORT_BULK,
                    "more than %lld contacts wait in bulk: sends them by file", from);
    start(b, from > 0 && backlog > from ? BULK_MAIN_BEGIN : BULK_MAIN_RESUME);
}

static void
take_status(agent_bulk *b, const PGresult *status)
{
    bool is_open = !PQgetisnull(status, 0, 0);
    agent_bulk_state state = {.state = is_open ? PQgetvalue(status, 0, 0) : NULL,
                              .is_running = PQgetvalue(status, 0, 1)[0] == 't',
                              .contacts = strtoll(PQgetvalue(status, 0, 2), NULL, 10),
                              .age_s = strtod(PQgetvalue(status, 0, 3), NULL),
                              .has_failed = strcmp(PQgetvalue(status, 0, 5), "failed") == 0,
                              .files_left = strtoll(PQgetvalue(status, 0, 6), NULL, 10)};

    agent_metrics_show_bulk(b->options.metrics, &state);
    consider(b, is_open, state.is_running, strtoll(PQgetvalue(status, 0, 4), NULL, 10));
}

static void
on_status(void *arg, const pg_reply *reply)
{
    agent_bulk *b = arg;

    b->is_asking = false;
    if (reply->status == PG_OK)
        take_status(b, reply->result);
    else if (reply->status == PG_ERROR && !b->is_ask_failing)
        log_message(LOG_LEVEL_ERROR, REPORT_BULK, "could not ask for runs by file: %s %s",
                    reply->sqlstate, reply->message);
    b->is_ask_failing = reply->status == PG_ERROR;
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
    agent_bulk *b = arg;

    (void)fd;
    (void)what;
    if (b->process != NULL && !is_allowed(b))
        bulk_process_stop(b->process);
    if (!b->is_asking)
        b->is_asking =
            pg_pool_query(b->options.pool, &status_statement, NULL, on_status, b) != NULL;
}

/* ---- life ------------------------------------------------------------------------- */

static void
start_ticking(agent_bulk *b)
{
    struct timeval interval = clock_timeval(b->options.settings->loop_s);

    event_add(b->tick, &interval);
}

agent_bulk *
agent_bulk_new(struct event_base *base, const agent_bulk_options *options)
{
    agent_bulk *b = xcalloc(1, sizeof(*b));

    b->base = base;
    b->options = *options;
    b->tick = event_new(base, -1, EV_PERSIST, on_tick, b);
    start_ticking(b);
    return b;
}

void
agent_bulk_apply_settings(agent_bulk *b)
{
    if (b->is_stopping)
        return;
    b->next_start_s = 0;
    b->failures = 0;
    start_ticking(b);
    on_tick(-1, 0, b);
}

void
agent_bulk_stop(agent_bulk *b)
{
    b->is_stopping = true;
    b->deadline_s = clock_now_s() + drain_limit_s(b->options.settings);
    event_del(b->tick);
    if (b->process != NULL)
        bulk_process_stop(b->process);
}

void
agent_bulk_free(agent_bulk *b)
{
    if (b == NULL)
        return;
    if (b->process != NULL) {
        bulk_process_stop(b->process);
        bulk_process_finish(b->process, b->deadline_s);
    }
    event_free(b->tick);
    free(b);
}
