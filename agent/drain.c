/*
 * drain.c: the end of the line: what is half done is completed, the rest given back; see
 * sync.h.
 */
#include "agent/sync_internal.h"
#include "common/clock.h"
#include "common/log.h"

#define DRAIN_MAX_S 15.0
/* For the last statements, once the deadline has passed. */
#define LAST_WORDS_S 2.0

void
drain_turn(struct sync *s)
{
    if (!s->is_draining || !sync_is_quiet(s) || !TAILQ_EMPTY(&s->halfway))
        return;
    if (!s->is_given_back && !s->is_releasing) {
        s->is_release_wanted = true;
        sync_release(s);
    }
    if (s->is_given_back && !s->is_signing_off) {
        s->is_signing_off = true;
        share_sign_off(s->share);
    }
    if (s->is_signing_off && share_is_signed_off(s->share))
        event_base_loopbreak(s->base);
}

void
drain_deadline(evutil_socket_t fd, short what, void *arg)
{
    struct sync *s = arg;
    struct timeval last = clock_timeval(LAST_WORDS_S);

    (void)fd;
    (void)what;
    if (s->is_past_deadline || s->in_flight == 0) {
        event_base_loopbreak(s->base);
        return;
    }
    s->is_past_deadline = true;
    log_message(LOG_LEVEL_WARNING, REPORT_SYNC, "%d requests are not answered in time to stop",
                s->in_flight);
    /* Their slots come free by themselves: they may still be in flight. */
    queue_release(s->queue);
    event_add(s->deadline, &last);
}

void
sync_drain(sync_line *s)
{
    double limit_s = 2 * s->settings->timeout_s + 1;
    struct timeval limit = clock_timeval(limit_s < DRAIN_MAX_S ? limit_s : DRAIN_MAX_S);

    if (s->is_draining)
        return;
    s->is_draining = true;
    sync_drop_list(s, &s->ready);
    /* What is half done is completed, if that can be expected to work. */
    if (s->is_token_failing || send_is_held_back(s))
        sync_drop_unsent(s);
    event_del(s->tick);
    event_add(s->deadline, &limit);
    sync_turn_soon(s);
}
