/*
 * drain.c: empties the line when the program ends; see drain.h. Contacts that are half sent
 * are completed; all others are given back.
 */
#include "agent/drain.h"

#include "agent/report.h"
#include "agent/send.h"
#include "common/clock.h"
#include "common/log.h"

#define DRAIN_MAX_S 15.0
/* How long the last statements may take after the deadline has passed. */
#define LAST_WORDS_S 2.0

void
drain_turn(struct line *l)
{
    if (l->is_past_deadline && !l->is_releasing && !queue_is_settling(l->queue) &&
        share_is_signed_off(l->share))
        event_base_loopbreak(l->base);
    if (!l->is_draining || l->is_past_deadline || !line_is_quiet(l) || !TAILQ_EMPTY(&l->halfway))
        return;
    if (!l->is_given_back && !l->is_releasing) {
        l->is_release_wanted = true;
        line_release_leases(l);
    }
    if (l->is_given_back && !l->is_signing_off) {
        l->is_signing_off = true;
        share_sign_off(l->share, 0);
    }
    if (l->is_signing_off && share_is_signed_off(l->share))
        event_base_loopbreak(l->base);
}

void
drain_on_deadline(evutil_socket_t fd, short what, void *arg)
{
    struct line *l = arg;
    struct timeval last = clock_timeval(LAST_WORDS_S);

    (void)fd;
    (void)what;
    if (l->is_past_deadline) {
        event_base_loopbreak(l->base);
        return;
    }
    l->is_past_deadline = true;
    if (l->in_flight > 0)
        log_message(LOG_LEVEL_WARNING, REPORT_SYNC, "stopping before %d requests are answered",
                    l->in_flight);
    l->is_releasing = queue_release(l->queue);
    if (!share_is_signed_off(l->share))
        share_sign_off(l->share, l->in_flight);
    event_add(l->deadline, &last);
    line_turn_soon(l);
}

double
drain_limit_s(const agent_settings *settings)
{
    double limit_s = 2 * settings->acoustic.timeout_s + 1;

    return limit_s < DRAIN_MAX_S ? limit_s : DRAIN_MAX_S;
}

void
drain_begin(struct line *l)
{
    struct timeval limit = clock_timeval(drain_limit_s(l->settings));

    l->is_draining = true;
    line_drop_ready(l);
    /* Contacts that are half sent are completed, unless nothing can be sent now. */
    if (l->is_token_failing || send_is_held_back(l))
        line_drop_unsent(l);
    event_add(l->deadline, &limit);
    line_turn_soon(l);
}
