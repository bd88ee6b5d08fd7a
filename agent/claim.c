/*
 * claim.c: when to claim contacts, how many, and what becomes of them; see sync_internal.h.
 *
 * Ahead of need: a claim is made when half of the last one is sent. The first asks for
 * little; each that is filled doubles the next, so that an agent in front of a slow service
 * holds little.
 */
#include "agent/sync_internal.h"
#include "common/clock.h"

enum { CLAIM_MIN = 20, PROBE_CLAIM = 10 };
/* Contacts in hand, as claims: those behind their AddRecipient wait for full calls. */
enum { IN_HAND_CLAIMS = 4 };
#define CLAIM_RETRY_MIN_S 0.2

void
claim_start_small(struct sync *s)
{
    int limit = s->settings->batch_limit;

    s->claim_size = CLAIM_MIN < limit ? CLAIM_MIN : limit;
}

static bool
may_claim(const struct sync *s, double now_s)
{
    if (!s->settings->is_sync_enabled || s->is_draining || !s->is_hungry || s->is_release_wanted ||
        queue_is_claiming(s->queue) || s->is_settle_blocked || now_s < s->next_claim_s)
        return false;
    if (s->settings->is_integration_enabled &&
        (s->is_token_failing || now_s < s->stop.until_s || pace_wait_s(&s->pace, now_s) > 0 ||
         share_granted(s->share) == 0))
        return false;
    if (s->stop.class != CLASS_SUCCESS)
        return s->in_hand == 0;
    return s->ready_count <= s->claim_size / 2 &&
           s->in_hand < IN_HAND_CLAIMS * s->settings->batch_limit;
}

void
claim_failed(void *arg)
{
    struct sync *s = arg;

    s->next_claim_s = clock_now_s() +
                      clock_backoff_s(CLAIM_RETRY_MIN_S, s->settings->loop_s, s->claim_failures++);
    sync_turn_soon(s);
}

void
claim_ahead(struct sync *s)
{
    int limit = s->settings->batch_limit;

    if (!may_claim(s, clock_now_s()))
        return;
    if (s->claim_size < limit)
        limit = s->claim_size;
    if (s->stop.class != CLASS_SUCCESS && limit > PROBE_CLAIM)
        limit = PROBE_CLAIM;
    s->was_notified = false;
    if (!queue_claim(s->queue, limit))
        claim_failed(s);
}

static void
take_claimed(struct sync *s, struct contact_list *contacts, bool are_suspects)
{
    contact *c, *next;

    for (c = TAILQ_FIRST(contacts); c != NULL; c = next) {
        next = TAILQ_NEXT(c, link);
        if (outcome_is_suspect(s, c) != are_suspects)
            continue;
        TAILQ_REMOVE(contacts, c, link);
        s->in_hand++;
        c->is_skipped = !s->settings->is_integration_enabled;
        if (s->is_draining || s->is_release_wanted)
            sync_drop(s, c);
        else if (c->has_failed || c->is_unchanged || c->is_skipped)
            sync_settle(s, c);
        else
            sync_move(s, c, &s->ready);
    }
}

void
claim_done(void *arg, struct contact_list *contacts, int claimed, int limit)
{
    struct sync *s = arg;

    /* Contacts that may themselves be at fault come last. */
    take_claimed(s, contacts, false);
    take_claimed(s, contacts, true);
    s->claim_failures = 0;
    if (claimed == limit) {
        s->claim_size *= 2;
        if (s->claim_size > s->settings->batch_limit)
            s->claim_size = s->settings->batch_limit;
    }
    /* Only an empty claim says that nothing is left: agents that are awake get no notice. */
    s->is_hungry = claimed > 0 || s->was_notified;
    sync_turn_soon(s);
}
