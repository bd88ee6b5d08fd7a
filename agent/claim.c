/*
 * claim.c: decides when to claim contacts and how many, and puts them into the line; see claim.h.
 *
 * Contacts are claimed ahead of need: when half of the last claim has been sent, the next one is
 * made. The first claim is small, and each claim that is filled doubles the next one. So an agent
 * in front of a slow service holds few contacts.
 */
#include "agent/claim.h"

#include "common/clock.h"

enum { CLAIM_MIN = 20, PROBE_CLAIM = 10 };
/* How many contacts may be in hand, in full claims: contacts whose rows wait for a full call are in
 * hand too. */
enum { IN_HAND_CLAIMS = 4 };
#define CLAIM_RETRY_MIN_S 0.2
/* After this time an empty queue is looked at again; then after twice the time, and so on until the
 * loop interval is shorter. */
#define LOOK_MIN_S 0.1

/* Size of the next claim, as the results of the last ones suggest it. */
static int
next_size(const struct line *l)
{
    int limit = l->settings->batch_limit;

    if (l->claim_size > 0)
        return l->claim_size;
    return CLAIM_MIN < limit ? CLAIM_MIN : limit;
}

static bool
may_claim(const struct line *l, double now_s)
{
    if (!l->settings->is_sync_enabled || l->is_draining || !l->is_hungry || l->is_release_wanted ||
        queue_is_claiming(l->queue) || l->is_settle_blocked || now_s < l->next_claim_s)
        return false;
    if (l->settings->is_integration_enabled &&
        (l->is_token_failing || now_s < l->stop.until_s || pace_wait_s(&l->pace, now_s) > 0 ||
         share_granted(l->share) == 0))
        return false;
    if (l->stop.class != CLASS_SUCCESS)
        return l->in_hand == 0;
    return l->ready_count <= next_size(l) / 2 &&
           l->in_hand < IN_HAND_CLAIMS * l->settings->batch_limit;
}

void
claim_note_failure(struct line *l)
{
    l->next_claim_s = clock_now_s() +
                      clock_backoff_s(CLAIM_RETRY_MIN_S, l->settings->loop_s, l->claim_failures++);
    line_turn_soon(l);
}

void
claim_ahead(struct line *l)
{
    int limit = l->settings->batch_limit;
    double now_s = clock_now_s();

    l->is_hungry |= l->next_look_s > 0 && l->next_look_s <= now_s;
    if (!may_claim(l, now_s))
        return;
    if (next_size(l) < limit)
        limit = next_size(l);
    if (l->stop.class != CLASS_SUCCESS && limit > PROBE_CLAIM)
        limit = PROBE_CLAIM;
    l->was_notified = false;
    l->next_look_s = 0;
    if (!queue_claim(l->queue, limit))
        claim_note_failure(l);
}

static void
take_claimed(struct line *l, struct contact_list *contacts, bool are_suspects)
{
    contact *c, *next;

    for (c = TAILQ_FIRST(contacts); c != NULL; c = next) {
        next = TAILQ_NEXT(c, link);
        if (suspects_have_contact(&l->suspects, c) != are_suspects)
            continue;
        TAILQ_REMOVE(contacts, c, link);
        l->in_hand++;
        c->is_skipped = !l->settings->is_integration_enabled;
        if (l->is_draining || l->is_release_wanted)
            line_drop_contact(l, c);
        else if (c->has_failed || c->is_unchanged || c->is_skipped)
            line_settle_contact(l, c);
        else
            line_move_contact(l, c, &l->ready);
    }
}

/*
 * A change whose commit began before we waited notifies nobody. An empty claim waits for such
 * commits, but only for a moment. One that takes longer, on a slow disk or until a far replica has
 * it, is found by another look.
 */
static void
plan_look(struct line *l, bool is_empty)
{
    if (!is_empty) {
        l->look_wait_s = 0;
        return;
    }
    l->look_wait_s = l->look_wait_s > 0 ? 2 * l->look_wait_s : LOOK_MIN_S;
    if (l->look_wait_s < l->settings->loop_s)
        l->next_look_s = clock_now_s() + l->look_wait_s;
}

double
claim_next_due_s(const struct line *l)
{
    return l->is_hungry ? l->next_claim_s : l->next_look_s;
}

void
claim_take_contacts(struct line *l, struct contact_list *contacts, int claimed, int limit)
{
    /* Contacts that may be the cause of a fault come last. */
    take_claimed(l, contacts, false);
    take_claimed(l, contacts, true);
    l->claim_failures = 0;
    if (claimed == limit) {
        l->claim_size = 2 * next_size(l);
        if (l->claim_size > l->settings->batch_limit)
            l->claim_size = l->settings->batch_limit;
    }
    /* Only an empty claim shows that the queue is empty, because an agent that is busy is not
     * notified. */
    l->is_hungry = claimed > 0 || l->was_notified;
    plan_look(l, claimed == 0);
    line_turn_soon(l);
}
