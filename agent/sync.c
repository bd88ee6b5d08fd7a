/*
 * sync.c: runs the line: turns, tokens, reports; see sync.h.
 *
 * Callbacks only note what has happened. Everything that follows is done in a turn, which the event
 * loop calls, so that no function is called while another one is in the middle of its work.
 */
#include "agent/sync.h"

#include <stdlib.h>

#include "agent/catalog.h"
#include "agent/claim.h"
#include "agent/drain.h"
#include "agent/line.h"
#include "agent/outcome.h"
#include "agent/report.h"
#include "agent/send.h"
#include "agent/stop.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/sentry.h"

/* A report follows the end of work, but not more often than this. */
#define REPORT_MIN_S 1.0
/* How often the database is asked to remove what it has kept for long enough. */
#define UPKEEP_S 60.0

struct sync {
    struct line line;
    sync_options options;
    report report;
    catalog *known;
    double last_report_s;
    double next_upkeep_s;
    bool is_reporting;

    struct event *alarm; /* the next time at which something is due */
    struct event *tick;  /* runs at each loop interval */
};

/* ---- claiming --------------------------------------------------------------------- */

static void
on_claimed(void *arg, struct contact_list *contacts, const queue_claim_result *result)
{
    struct sync *s = arg;

    claim_take_contacts(&s->line, contacts, result);
}

static void
on_claim_failed(void *arg)
{
    struct sync *s = arg;

    claim_note_failure(&s->line);
}

/* ---- settling --------------------------------------------------------------------- */

static void
on_settled(void *arg, struct contact_list *contacts, bool is_written, bool is_work_left)
{
    struct sync *s = arg;
    struct line *l = &s->line;
    contact *c;

    l->is_settle_blocked = !is_written;
    if (is_work_left)
        line_look_soon(l);
    while ((c = TAILQ_FIRST(contacts)) != NULL) {
        TAILQ_REMOVE(contacts, c, link);
        if (!is_written) {
            line_move_contact(l, c, &l->outcomes);
            continue;
        }
        report_contact(&s->report, c);
        l->in_hand--;
        contact_free(c);
    }
    line_turn_soon(l);
}

static void
on_released(void *arg, bool is_written)
{
    struct sync *s = arg;
    struct line *l = &s->line;

    (void)is_written;
    l->is_releasing = l->is_release_wanted = false;
    l->is_given_back = l->is_draining;
    line_turn_soon(l);
}

/* ---- reporting -------------------------------------------------------------------- */

static void
on_backlog(void *arg, const queue_backlog *backlog)
{
    struct sync *s = arg;

    s->is_reporting = false;
    report_cycle(&s->report, backlog);
    s->last_report_s = clock_now_s();
    if (s->options.cycle_ended != NULL)
        s->options.cycle_ended(s->options.arg);
    line_turn_soon(&s->line);
}

static void
on_configuration(void *arg, const char *json)
{
    struct sync *s = arg;

    catalog_read(s->known, json);
}

static void
report_now(struct sync *s)
{
    if (s->is_reporting)
        return;
    s->is_reporting = true;
    if (!queue_ask_backlog(s->line.queue))
        on_backlog(s, NULL);
}

/* All the work at hand is done. */
static bool
has_cycle_ended(const struct sync *s)
{
    return s->line.in_hand == 0 && !queue_is_claiming(s->line.queue) && report_has_work(&s->report);
}

/* ---- turns ------------------------------------------------------------------------ */

static void
set_alarm(struct sync *s)
{
    const struct line *l = &s->line;
    double due_s = send_next_due_s(l);
    double claim_s = claim_next_due_s(l);
    struct timeval delay;

    if (claim_s > clock_now_s() && (due_s == 0 || claim_s < due_s))
        due_s = claim_s;
    if (has_cycle_ended(s) && (due_s == 0 || s->last_report_s + REPORT_MIN_S < due_s))
        due_s = s->last_report_s + REPORT_MIN_S;
    if (due_s == 0) {
        event_del(s->alarm);
        return;
    }
    delay = clock_timeval(due_s - clock_now_s());
    event_add(s->alarm, &delay);
}

/* True if requests may be wanted soon. */
static bool
are_requests_wanted(const struct line *l)
{
    return l->settings->is_integration_enabled && !l->is_draining &&
           (l->in_hand > 0 || queue_is_claiming(l->queue) ||
            (claim_is_wanted(l) && share_granted(l->share) == 0));
}

static void
turn(evutil_socket_t fd, short what, void *arg)
{
    struct sync *s = arg;
    struct line *l = &s->line;

    (void)fd;
    (void)what;
    if (l->settings->is_integration_enabled)
        send_all(l);
    outcome_settle_all(l);
    /* An unknown claim would wait until its lease ends; releasing gives it back sooner. */
    l->is_release_wanted |= l->in_hand == 0 && queue_has_lost(l->queue);
    claim_ahead(l);
    line_release_leases(l);
    if (has_cycle_ended(s) && clock_now_s() >= s->last_report_s + REPORT_MIN_S)
        report_now(s);
    rate_note_turn(&l->rate, line_count_ready(l) > 0, clock_now_s());
    share_update(l->share, are_requests_wanted(l), send_is_short_of_slots(l), l->in_flight,
                 rate_per_second(&l->rate, clock_now_s()));
    drain_turn(l);
    set_alarm(s);
}

/* Fetches a token in advance, while nothing waits for it. */
static void
fetch_token(struct line *l)
{
    unsigned number;

    if (l->settings->is_sync_enabled && l->settings->is_integration_enabled)
        token_get(l->tokens, &number);
}

static void
keep_up(struct sync *s)
{
    if (clock_now_s() < s->next_upkeep_s)
        return;
    s->next_upkeep_s = clock_now_s() + UPKEEP_S;
    queue_forget_old(s->line.queue);
}

/* Each loop interval: looks at the queue even if no notification came. */
static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct sync *s = arg;
    struct line *l = &s->line;

    (void)fd;
    (void)what;
    report_health(&s->report);
    fetch_token(l);
    queue_ask_configuration(l->queue);
    share_tick(l->share);
    keep_up(s);
    l->is_settle_blocked = false;
    /* Other agents have all the slots, so they should have the contacts too. */
    if (l->in_flight == 0 && line_count_ready(l) > 0 && share_granted(l->share) == 0)
        line_drop_unsent(l);
    report_now(s);
    sync_look(s);
}

void
sync_look(struct sync *s)
{
    struct line *l = &s->line;

    l->was_notified = true;
    l->is_waiting = false;
    l->is_settle_blocked = false;
    line_look_soon(l);
}

/* ---- tokens ----------------------------------------------------------------------- */

static void
on_token_ready(void *arg)
{
    struct sync *s = arg;
    struct line *l = &s->line;

    if (l->is_token_failing) {
        log_message(LOG_LEVEL_WARNING, REPORT_SYNC, "Acoustic gives access tokens again");
        line_look_soon(l);
    }
    l->is_token_failing = false;
    stop_show(l);
    line_turn_soon(l);
}

static void
on_token_failed(void *arg, bool is_refused, const char *problem, double retry_s)
{
    struct sync *s = arg;
    struct line *l = &s->line;
    log_line *line = log_begin(is_refused ? LOG_LEVEL_CRITICAL : LOG_LEVEL_ERROR, REPORT_SYNC);

    log_string(line, "error_class", is_refused ? "authentication" : "transient");
    log_string(line, "error", problem);
    log_real(line, "next_try_s", retry_s);
    log_end(line, "could not get an access token from Acoustic: %s", problem);
    if (is_refused)
        sentry_report(LOG_LEVEL_CRITICAL, REPORT_SYNC, "Acoustic refuses an access token", NULL, 0);
    /* We cannot send for a while; other agents perhaps can. */
    if (!l->is_token_failing)
        line_drop_unsent(l);
    l->is_token_failing = true;
    stop_show(l);
}

/* ---- life ------------------------------------------------------------------------- */

static void
on_share_changed(void *arg)
{
    struct sync *s = arg;

    line_turn_soon(&s->line);
}

static void
start_ticking(struct sync *s)
{
    struct timeval interval = clock_timeval(s->line.settings->loop_s);

    event_add(s->tick, &interval);
}

void
sync_apply_settings(struct sync *s)
{
    struct line *l = &s->line;

    l->claim_sizes[LANE_LIVE] = l->claim_sizes[LANE_BULK] = 0;
    if (!l->settings->is_sync_enabled)
        line_drop_unsent(l);
    token_renew(l->tokens); /* the credentials may have changed */
    if (!l->is_draining)
        start_ticking(s);
    sync_look(s);
}

void
sync_drain(struct sync *s)
{
    if (s->line.is_draining)
        return;
    event_del(s->tick);
    drain_begin(&s->line);
}

service_health
sync_get_health(const struct sync *s)
{
    const struct line *l = &s->line;
    service_health health = {.is_database_up = queue_is_database_up(l->queue),
                             .in_flight = l->in_flight,
                             .in_flight_allowed = share_granted(l->share)};

    if (l->stop.class != CLASS_SUCCESS)
        health.stopped = l->stop.why;
    else if (l->is_token_failing)
        health.stopped = "there is no access token";
    else if (share_is_refused(l->share))
        health.stopped = "the database gives no share of the requests";
    return health;
}

/* Makes the parts that the line works with. */
static void
set_up_line(struct sync *s, struct event_base *base)
{
    static const queue_events queue_callbacks = {.claimed = on_claimed,
                                                 .claim_failed = on_claim_failed,
                                                 .settled = on_settled,
                                                 .released = on_released,
                                                 .backlog = on_backlog,
                                                 .configuration = on_configuration};
    static const token_events token_callbacks = {on_token_ready, on_token_failed};
    const agent_settings *settings = s->options.settings;
    pg_pool *pool = s->options.pool;
    struct line *l = &s->line;

    line_init(l, base, settings, s->options.metrics);
    l->http = http_client_new(base, "ctms-agent");
    l->tokens = token_source_new(base, l->http, &settings->acoustic, &token_callbacks, s);
    l->queue = queue_new(pool, settings, &queue_callbacks, s);
    l->share = share_new(base, pool, settings, queue_agent_name(l->queue), on_share_changed, s);
    l->turn = event_new(base, -1, 0, turn, s);
    l->deadline = evtimer_new(base, drain_on_deadline, l);
}

struct sync *
sync_new(struct event_base *base, const sync_options *options)
{
    struct sync *s = xcalloc(1, sizeof(*s));

    s->options = *options;
    set_up_line(s, base);
    s->known = catalog_new();
    report_init(&s->report, options->settings, options->metrics, s->known);
    s->alarm = evtimer_new(base, turn, s);
    s->tick = event_new(base, -1, EV_PERSIST, on_tick, s);
    if (s->line.http == NULL) {
        sync_free(s);
        return NULL;
    }
    report_start(&s->report);
    report_health(&s->report);
    start_ticking(s);
    fetch_token(&s->line);
    queue_ask_configuration(s->line.queue);
    return s;
}

void
sync_free(struct sync *s)
{
    struct line *l;

    if (s == NULL)
        return;
    l = &s->line;
    http_client_free(l->http);
    token_source_free(l->tokens);
    share_free(l->share);
    queue_free(l->queue);
    line_clear(l);
    event_free(l->turn);
    event_free(l->deadline);
    catalog_free(s->known);
    event_free(s->alarm);
    event_free(s->tick);
    free(s);
}
