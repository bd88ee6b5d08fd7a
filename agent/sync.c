/*
 * sync.c: the life of the line: turns, settling, giving back, reports; see sync.h.
 *
 * Callbacks only note what has happened; what follows is done in a turn, from the event
 * loop, so that nothing calls back into the middle of something else.
 */
#include "agent/sync.h"

#include <stdlib.h>

#include "agent/sync_internal.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/sentry.h"

/* A report after work, but not more often than this. */
#define REPORT_MIN_S 1.0

void
sync_turn_soon(struct sync *s)
{
    event_active(s->turn, EV_TIMEOUT, 0);
}

/* ---- contacts --------------------------------------------------------------------- */

void
sync_move(struct sync *s, contact *c, struct contact_list *list)
{
    if (c->list != NULL)
        TAILQ_REMOVE(c->list, c, link);
    s->ready_count += (list == &s->ready) - (c->list == &s->ready);
    c->list = list;
    if (list != NULL)
        TAILQ_INSERT_TAIL(list, c, link);
}

void
sync_settle(struct sync *s, contact *c)
{
    send_forget_rows(s, c);
    sync_move(s, c, &s->outcomes);
}

void
sync_drop(struct sync *s, contact *c)
{
    send_forget_rows(s, c);
    sync_move(s, c, NULL);
    s->in_hand--;
    claim_start_small(s);
    contact_free(c);
}

void
sync_drop_list(struct sync *s, struct contact_list *list)
{
    contact *c;

    while ((c = TAILQ_FIRST(list)) != NULL)
        sync_drop(s, c);
}

void
sync_drop_unsent(struct sync *s)
{
    contact *c, *next;
    call *k;

    while ((k = TAILQ_FIRST(&s->again)) != NULL) {
        TAILQ_REMOVE(&s->again, k, link);
        outcome_give_up(k);
    }
    sync_drop_list(s, &s->ready);
    for (c = TAILQ_FIRST(&s->halfway); c != NULL; c = next) {
        next = TAILQ_NEXT(c, link);
        c->is_dropped = true;
        if (c->rows_taken == 0)
            sync_drop(s, c);
        else
            send_forget_rows(s, c);
    }
    s->is_release_wanted = true;
    sync_turn_soon(s);
}

/* ---- settling --------------------------------------------------------------------- */

/*
 * An outcome that is later than its lease is not written: another agent may have the contact by
 * now, or we ourselves, and it would be taken for the outcome of that attempt. The contact is sent
 * again.
 */
static void
drop_late_outcomes(struct sync *s)
{
    double now_s = clock_now_s();
    contact *c, *next;
    int dropped = 0;

    for (c = TAILQ_FIRST(&s->outcomes); c != NULL; c = next) {
        next = TAILQ_NEXT(c, link);
        if (c->lease_ends_s > now_s)
            continue;
        sync_drop(s, c);
        dropped++;
    }
    if (dropped > 0)
        log_message(LOG_LEVEL_WARNING, REPORT_SYNC,
                    "the outcome of %d contacts came after their lease: they are sent again",
                    dropped);
}

static void
settle(struct sync *s)
{
    struct contact_list batch;
    contact *c;

    if (TAILQ_EMPTY(&s->outcomes) || queue_is_settling(s->queue) || s->is_settle_blocked)
        return;
    drop_late_outcomes(s);
    if (TAILQ_EMPTY(&s->outcomes))
        return;
    TAILQ_INIT(&batch);
    TAILQ_FOREACH(c, &s->outcomes, link)
    {
        c->list = NULL;
    }
    TAILQ_CONCAT(&batch, &s->outcomes, link);
    queue_settle(s->queue, &batch);
}

static void
on_settled(void *arg, struct contact_list *contacts, bool is_written, bool is_work_left)
{
    struct sync *s = arg;
    contact *c;

    s->is_settle_blocked = !is_written;
    s->is_hungry |= is_work_left;
    while ((c = TAILQ_FIRST(contacts)) != NULL) {
        TAILQ_REMOVE(contacts, c, link);
        if (!is_written) {
            sync_move(s, c, &s->outcomes);
            continue;
        }
        report_contact(&s->report, c);
        s->in_hand--;
        contact_free(c);
    }
    sync_turn_soon(s);
}

/* ---- giving back ------------------------------------------------------------------ */

bool
sync_is_quiet(const struct sync *s)
{
    return s->in_flight == 0 && TAILQ_EMPTY(&s->again) && TAILQ_EMPTY(&s->outcomes) &&
           !queue_is_settling(s->queue) && !queue_is_claiming(s->queue);
}

void
sync_release(struct sync *s)
{
    if (!s->is_release_wanted || s->is_releasing || !sync_is_quiet(s))
        return;
    /* What came in meanwhile must not be sent without a lease. */
    sync_drop_list(s, &s->ready);
    sync_drop_list(s, &s->halfway);
    s->is_releasing = queue_release(s->queue);
    if (!s->is_releasing) {
        s->is_release_wanted = false; /* the database is away: leases run out */
        s->is_given_back = s->is_draining;
    }
}

static void
on_released(void *arg, bool is_written)
{
    struct sync *s = arg;

    (void)is_written;
    s->is_releasing = s->is_release_wanted = false;
    s->is_given_back = s->is_draining;
    sync_turn_soon(s);
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
    sync_turn_soon(s);
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
    if (!queue_ask_backlog(s->queue))
        on_backlog(s, &(queue_backlog){-1, -1, -1});
}

/* The work at hand is done. */
static bool
has_cycle_ended(const struct sync *s)
{
    return s->in_hand == 0 && !queue_is_claiming(s->queue) && report_has_work(&s->report);
}

/* ---- turns ------------------------------------------------------------------------ */

static void
set_alarm(struct sync *s)
{
    double due_s = send_next_due_s(s);
    struct timeval delay;

    if (s->is_hungry && s->next_claim_s > clock_now_s() && (due_s == 0 || s->next_claim_s < due_s))
        due_s = s->next_claim_s;
    if (has_cycle_ended(s) && (due_s == 0 || s->last_report_s + REPORT_MIN_S < due_s))
        due_s = s->last_report_s + REPORT_MIN_S;
    if (due_s == 0) {
        event_del(s->alarm);
        return;
    }
    delay = clock_timeval(due_s - clock_now_s());
    event_add(s->alarm, &delay);
}

/* Requests may be wanted. */
static bool
is_busy(const struct sync *s)
{
    return s->settings->is_integration_enabled && !s->is_draining &&
           (s->in_hand > 0 || queue_is_claiming(s->queue) ||
            (s->is_hungry && share_granted(s->share) == 0));
}

static void
turn(evutil_socket_t fd, short what, void *arg)
{
    struct sync *s = arg;

    (void)fd;
    (void)what;
    if (s->settings->is_integration_enabled)
        send_all(s);
    settle(s);
    /* A claim that nobody knows of waits for its lease to end; this is sooner. */
    s->is_release_wanted |= s->in_hand == 0 && queue_has_lost(s->queue);
    claim_ahead(s);
    sync_release(s);
    if (has_cycle_ended(s) && clock_now_s() >= s->last_report_s + REPORT_MIN_S)
        report_now(s);
    share_update(s->share, is_busy(s), send_is_short_of_slots(s), s->in_flight);
    drain_turn(s);
    set_alarm(s);
}

/* While nothing waits for it. */
static void
fetch_token(struct sync *s)
{
    unsigned number;

    if (s->settings->is_sync_enabled && s->settings->is_integration_enabled)
        token_get(s->tokens, &number);
}

/* Each loop interval: look, whether anybody called or not. */
static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct sync *s = arg;

    (void)fd;
    (void)what;
    report_health(&s->report);
    fetch_token(s);
    queue_ask_configuration(s->queue);
    share_tick(s->share);
    s->is_settle_blocked = false;
    /* Other agents have all the requests there may be: let them have the contacts as well. */
    if (s->in_flight == 0 && s->ready_count > 0 && share_granted(s->share) == 0)
        sync_drop_unsent(s);
    report_now(s);
    sync_look(s);
}

void
sync_look(sync_line *s)
{
    s->was_notified = s->is_hungry = true;
    s->is_settle_blocked = false;
    sync_turn_soon(s);
}

/* ---- tokens ----------------------------------------------------------------------- */

void
sync_show_stop(struct sync *s)
{
    agent_metrics_stopped(s->options.metrics,
                          s->is_token_failing ? CLASS_AUTHENTICATION : s->stop.class);
}

static void
on_token_ready(void *arg)
{
    struct sync *s = arg;

    if (s->is_token_failing) {
        log_message(LOG_LEVEL_WARNING, REPORT_SYNC, "Acoustic gives access tokens again");
        s->is_hungry = true;
    }
    s->is_token_failing = false;
    sync_show_stop(s);
    sync_turn_soon(s);
}

static void
on_token_failed(void *arg, bool is_refused, const char *problem, double retry_s)
{
    struct sync *s = arg;
    log_line *line = log_begin(is_refused ? LOG_LEVEL_CRITICAL : LOG_LEVEL_ERROR, REPORT_SYNC);

    log_string(line, "error_class", is_refused ? "authentication" : "transient");
    log_string(line, "error", problem);
    log_real(line, "next_try_s", retry_s);
    log_end(line, "could not get an access token from Acoustic: %s", problem);
    if (is_refused)
        sentry_report(LOG_LEVEL_CRITICAL, REPORT_SYNC, "Acoustic refuses an access token", NULL, 0);
    /* Nothing will be sent for a while: others may have better luck. */
    if (!s->is_token_failing)
        sync_drop_unsent(s);
    s->is_token_failing = true;
    sync_show_stop(s);
}

/* ---- life ------------------------------------------------------------------------- */

static void
on_share_changed(void *arg)
{
    sync_turn_soon(arg);
}

static void
start_ticking(struct sync *s)
{
    struct timeval interval = clock_timeval(s->settings->loop_s);

    event_add(s->tick, &interval);
}

void
sync_settings_changed(sync_line *s)
{
    claim_start_small(s);
    if (!s->settings->is_sync_enabled)
        sync_drop_unsent(s);
    token_renew(s->tokens); /* the credentials may be others */
    if (!s->is_draining)
        start_ticking(s);
    sync_look(s);
}

service_health
sync_health(const sync_line *s)
{
    service_health health = {.is_database_up = queue_is_database_up(s->queue),
                             .in_flight = s->in_flight,
                             .in_flight_allowed = share_granted(s->share)};

    if (s->stop.class != CLASS_SUCCESS)
        health.stopped = s->stop.why;
    else if (s->is_token_failing)
        health.stopped = "there is no access token";
    else if (share_is_refused(s->share))
        health.stopped = "the database gives no share of the requests";
    return health;
}

sync_line *
sync_new(struct event_base *base, const sync_options *options)
{
    static const queue_events queue_callbacks = {claim_done,  claim_failed, on_settled,
                                                 on_released, on_backlog,   on_configuration};
    static const token_events token_callbacks = {on_token_ready, on_token_failed};
    const agent_settings *settings = options->settings;
    struct sync *s = xcalloc(1, sizeof(*s));

    s->base = base;
    s->options = *options;
    s->settings = settings;
    claim_start_small(s);
    TAILQ_INIT(&s->ready);
    TAILQ_INIT(&s->halfway);
    TAILQ_INIT(&s->outcomes);
    TAILQ_INIT(&s->again);
    TAILQ_INIT(&s->sent);
    for (int lane = 0; lane < LANES; lane++)
        TAILQ_INIT(&s->waiting[lane]);
    s->http = http_client_new(base, "ctms-agent");
    s->tokens = token_source_new(base, s->http, settings, &token_callbacks, s);
    s->queue = queue_new(options->pool, settings, &queue_callbacks, s);
    s->share =
        share_new(base, options->pool, settings, queue_agent_name(s->queue), on_share_changed, s);
    pace_init(&s->pace, settings->max_in_flight);
    s->known = catalog_new();
    report_init(&s->report, settings, options->metrics, s->known);
    s->turn = event_new(base, -1, 0, turn, s);
    s->alarm = evtimer_new(base, turn, s);
    s->tick = event_new(base, -1, EV_PERSIST, on_tick, s);
    s->deadline = evtimer_new(base, drain_deadline, s);
    if (s->http == NULL) {
        sync_free(s);
        return NULL;
    }
    report_start(&s->report);
    report_health(&s->report);
    start_ticking(s);
    fetch_token(s);
    queue_ask_configuration(s->queue);
    return s;
}

static void
free_calls(struct call_list *calls)
{
    call *k;

    while ((k = TAILQ_FIRST(calls)) != NULL) {
        TAILQ_REMOVE(calls, k, link);
        if (k->contact != NULL)
            contact_free(k->contact);
        call_free(k);
    }
}

static void
free_contacts(struct contact_list *contacts)
{
    contact *c;

    while ((c = TAILQ_FIRST(contacts)) != NULL) {
        TAILQ_REMOVE(contacts, c, link);
        contact_free(c);
    }
}

void
sync_free(sync_line *s)
{
    if (s == NULL)
        return;
    http_client_free(s->http);
    token_source_free(s->tokens);
    share_free(s->share);
    queue_free(s->queue);
    catalog_free(s->known);
    free_calls(&s->sent);
    free_calls(&s->again);
    free_contacts(&s->ready);
    free_contacts(&s->halfway);
    free_contacts(&s->outcomes);
    event_free(s->turn);
    event_free(s->alarm);
    event_free(s->tick);
    event_free(s->deadline);
    free(s);
}
