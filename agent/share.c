/* share.c: asks the database for slots and keeps their lease; see share.h. */
#include "agent/share.h"

#include <stdio.h>
#include <stdlib.h>

#include "agent/hold.h"
#include "agent/report.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"

/* How often to ask while other agents may give back slots or want them. */
#define ASK_BUSY_S 0.5
/* How long an answer may take, or our loop may be busy, before we have no slots. */
#define LEASE_MARGIN_S 2.5

static const pg_statement share_statement = {
    "SELECT ctms.share_acoustic($1, $2::int, $3::int, $4::int, make_interval(secs => $5::float8),"
    " $6::float8)",
    6,
    false,
    "share_acoustic",
    PG_ONE_ROW,
    false};

struct share {
    pg_pool *pool;
    const agent_settings *settings;
    const char *agent;
    void (*changed)(void *arg);
    void *arg;
    struct event *timer;    /* pending: asks again while requests are wanted */
    struct event *held_end; /* pending: the next end of a held slot */
    holds held;
    int granted;
    int recorded;  /* slots that the database keeps for us */
    int wanted;    /* in the last question */
    int in_flight; /* as the last caller told it */
    double contacts_per_second;
    int asked_in_use; /* may be in flight until the answer arrives */
    double asked_at_s;
    double asked_lease_s;
    double void_at_s; /* no request may start after this */
    bool is_wanting;  /* slots were short since there was last nothing to send */
    bool is_asking;
    bool is_leaving;
    bool is_signed_off;
    bool has_failed; /* logged already */
};

/* The lease is longer than the interval between two questions plus one request. It is short while
 * we hold many slots, because the slots of an agent that died cannot be used until its lease
 * ends. */
static double
lease_s(const share *s)
{
    double interval_s = s->is_wanting ? ASK_BUSY_S : s->settings->loop_s;

    return s->settings->acoustic.timeout_s + interval_s + LEASE_MARGIN_S;
}

/* How long a slot is held. */
static double
hold_s(const share *s)
{
    return s->settings->acoustic.timeout_s + ASK_BUSY_S + LEASE_MARGIN_S;
}

/* When we leave, the lease is for the slots that are held. */
static double
leaving_lease_s(const share *s)
{
    double left_s = hold_last_end_s(&s->held) - clock_now_s();

    return left_s > 0.001 ? left_s : 0.001;
}

/* Slots that the database has granted, used or not. */
static int
granted_now(const share *s)
{
    return clock_now_s() < s->void_at_s ? s->granted : 0;
}

/* Requests that may be at Acoustic. */
static int
in_use(share *s)
{
    return s->in_flight + hold_count(&s->held, clock_now_s());
}

static void
set_granted(share *s, int granted)
{
    bool is_changed = granted != s->granted;

    s->granted = granted;
    if (is_changed)
        s->changed(s->arg);
}

static void ask(share *s, int wanted);

/* Tells the database. */
static void
leave(share *s)
{
    ask(s, 0);
    if (!s->is_asking) /* the database is away: the lease will expire */
        s->is_signed_off = true;
}

static void
on_answer(void *arg, const pg_reply *reply)
{
    share *s = arg;

    s->is_asking = false;
    s->is_signed_off = s->is_leaving && s->wanted == 0;
    if (s->is_leaving) {
        if (s->is_signed_off)
            s->changed(s->arg);
        else
            leave(s);
        return;
    }
    if (reply->status != PG_OK) {
        if (!s->has_failed)
            log_message(LOG_LEVEL_ERROR, REPORT_SYNC, "could not get a share of requests: %s %s",
                        reply->sqlstate, reply->message);
        s->has_failed = true;
        return;
    }
    s->has_failed = false;
    /* A request that starts now must end before the lease does. */
    s->void_at_s = s->asked_at_s + s->asked_lease_s - s->settings->acoustic.timeout_s;
    s->recorded = atoi(PQgetvalue(reply->result, 0, 0));
    set_granted(s, s->recorded);
    if (s->recorded < s->asked_in_use)
        s->recorded = s->asked_in_use;
}

static void
ask(share *s, int wanted)
{
    char wanted_text[16], in_use_text[16], total_text[16], lease_text[32], rate_text[32];
    const char *values[] = {s->agent, wanted_text, in_use_text, total_text, lease_text, rate_text};

    if (s->is_asking)
        return;
    /* Until the answer arrives we use the slots that we have. Slots that we lose are given back by
     * the next question. */
    s->granted = granted_now(s);
    s->asked_in_use = in_use(s) > s->granted ? in_use(s) : s->granted;
    snprintf(wanted_text, sizeof(wanted_text), "%d", wanted);
    snprintf(in_use_text, sizeof(in_use_text), "%d", s->asked_in_use);
    snprintf(total_text, sizeof(total_text), "%d", s->settings->max_in_flight);
    s->asked_lease_s = s->is_leaving ? leaving_lease_s(s) : lease_s(s);
    snprintf(lease_text, sizeof(lease_text), "%.3f", s->asked_lease_s);
    snprintf(rate_text, sizeof(rate_text), "%.3f", s->contacts_per_second);
    s->wanted = wanted;
    s->asked_at_s = clock_now_s();
    s->is_asking = pg_pool_query(s->pool, &share_statement, values, on_answer, s) != NULL;
}

/* When there is nothing to do, one slot is kept, so that the next contact need not wait. */
static int
wanted_now(const share *s)
{
    return s->is_wanting ? s->settings->max_in_flight : 1;
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
    share *s = arg;

    (void)fd;
    (void)what;
    /* We may be idle by now. The short lease of many slots would end before the next tick. */
    if (s->is_wanting || s->wanted > 1)
        ask(s, wanted_now(s));
}

/* ---- held slots ------------------------------------------------------------------- */

static void
await_held_end(share *s)
{
    struct timeval delay;

    if (s->held.count == 0)
        return;
    delay = clock_timeval(hold_first_end_s(&s->held) - clock_now_s());
    event_add(s->held_end, &delay);
}

static void
on_held_end(evutil_socket_t fd, short what, void *arg)
{
    share *s = arg;

    (void)fd;
    (void)what;
    hold_count(&s->held, clock_now_s());
    await_held_end(s);
    s->changed(s->arg);
}

void
share_hold(share *s)
{
    s->in_flight -= s->in_flight > 0;
    hold_add(&s->held, 1, clock_now_s() + hold_s(s));
    await_held_end(s);
}

/* ---- for the line ----------------------------------------------------------------- */

int
share_granted(share *s)
{
    int granted = granted_now(s);

    if (granted > s->settings->max_in_flight)
        granted = s->settings->max_in_flight;
    granted -= hold_count(&s->held, clock_now_s());
    return granted > 0 ? granted : 0;
}

bool
share_is_refused(const share *s)
{
    return s->has_failed;
}

void
share_update(share *s, bool is_busy, bool is_short, int in_flight, double contacts_per_second)
{
    struct timeval interval = clock_timeval(ASK_BUSY_S);
    bool is_more_wanted;

    if (s->is_leaving)
        return;
    s->is_wanting = is_busy && (s->is_wanting || is_short);
    s->in_flight = in_flight;
    s->contacts_per_second = contacts_per_second;
    is_more_wanted =
        wanted_now(s) > s->wanted || (is_busy && clock_now_s() >= s->void_at_s && !s->is_asking);
    /* Other agents may wait for slots whose requests have just ended. */
    if (is_more_wanted || (s->recorded > s->granted && in_use(s) <= s->granted))
        ask(s, wanted_now(s));
    if (s->is_wanting && !evtimer_pending(s->timer, NULL))
        event_add(s->timer, &interval);
}

void
share_tick(share *s)
{
    ask(s, wanted_now(s));
}

void
share_sign_off(share *s, int in_flight)
{
    s->is_leaving = true;
    s->is_wanting = false;
    s->in_flight = s->granted = 0;
    hold_add(&s->held, in_flight, clock_now_s() + hold_s(s));
    leave(s);
}

bool
share_is_signed_off(const share *s)
{
    return s->is_signed_off;
}

share *
share_new(struct event_base *base, pg_pool *pool, const agent_settings *settings, const char *agent,
          void (*changed)(void *arg), void *arg)
{
    share *s = xcalloc(1, sizeof(*s));

    s->pool = pool;
    s->settings = settings;
    s->agent = agent;
    s->changed = changed;
    s->arg = arg;
    s->timer = evtimer_new(base, on_timer, s);
    s->held_end = evtimer_new(base, on_held_end, s);
    ask(s, 1);
    return s;
}

void
share_free(share *s)
{
    if (s == NULL)
        return;
    event_free(s->timer);
    event_free(s->held_end);
    hold_free(&s->held);
    free(s);
}
