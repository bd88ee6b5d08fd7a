/*
 * claim.c: decides when to claim contacts and how many, and puts them into the line; see claim.h.
 *
 * Contacts are claimed ahead of need: when half of the last claim has been sent, the next one is
 * made. The first claim is small, and each claim that is filled doubles the next one. So an agent
 * in front of a slow service holds few contacts.
 *
 * Of bulk contacts it holds no more than it sends in a moment, however many it could claim: one
 * that a person changes meanwhile is not sent as live before it has been sent as bulk.
 *
 * Claims look for live contacts while bulk contacts are in hand, too. A claim that finds nothing
 * makes the next change notify us, and one that may take no bulk contact finds nothing when there
 * is no live one. So a live change is known within milliseconds, and the queue is not asked all the
 * time.
 */
#include "agent/claim.h"

#include "agent/stop.h"
#include "common/clock.h"

enum { CLAIM_MIN = 20, PROBE_CLAIM = 10 };
/* How many contacts may be in hand, in full claims: contacts whose rows wait for a full call are in
 * hand too. */
enum { IN_HAND_CLAIMS = 4 };
#define CLAIM_RETRY_MIN_S 0.2
/* Claims of bulk contacts are this far apart: sooner, the next one is larger; later, smaller. */
#define BULK_INTERVAL_MIN_S 0.3
#define BULK_INTERVAL_MAX_S 1.2
enum { BULK_CLAIM_MIN = 4 };
/* Bulk changes notify us, too, and of live ones other agents. So after looks in vain for live
 * contacts the next look waits, longer each time. */
#define VAIN_LOOK_MIN_S 0.002
#define VAIN_LOOK_MAX_S 0.05
/* After this time an empty queue is looked at again; then after twice the time, and so on until the
 * loop interval is shorter. */
#define LOOK_MIN_S 0.1

/* How many contacts of the lane the next claim should get, as the results of the last ones suggest
 * it. */
static int
next_size(const struct line *l, queue_lane lane)
{
    int limit = l->settings->batch_limit;

    if (l->claim_sizes[lane] > 0)
        return l->claim_sizes[lane];
    return CLAIM_MIN < limit ? CLAIM_MIN : limit;
}

static bool
may_hold_more(const struct line *l, queue_lane lane)
{
    return l->ready_counts[lane] <= next_size(l, lane) / 2;
}

/* How many bulk contacts a claim may take: at least those that are sent between live ones. While
 * none are known to wait, each claim looks for them too: so one that finds nothing has seen that
 * there are none. */
static int
bulk_limit(const struct line *l)
{
    bool is_room = l->in_hand < IN_HAND_CLAIMS * l->settings->batch_limit;
    int live = l->ready_counts[LANE_LIVE] + next_size(l, LANE_LIVE);
    int least = live / LIVE_PER_BULK + 1 - l->ready_counts[LANE_BULK];
    int size = next_size(l, LANE_BULK);

    if (!l->is_hungry[LANE_BULK] || (is_room && may_hold_more(l, LANE_BULK)))
        return size > least ? size : least;
    return is_room && least > 0 ? least : 0;
}

static bool
is_bulk_wanted(const struct line *l)
{
    return l->is_hungry[LANE_BULK] && bulk_limit(l) > 0;
}

bool
claim_is_wanted(const struct line *l)
{
    return l->is_hungry[LANE_LIVE] || is_bulk_wanted(l);
}

/* A claim is useful now, if it is allowed. */
static bool
is_due(const struct line *l, double now_s)
{
    return now_s >= l->next_claim_s &&
           (is_bulk_wanted(l) || (l->is_hungry[LANE_LIVE] && now_s >= l->next_live_s));
}

static bool
may_claim(const struct line *l, double now_s)
{
    if (!l->settings->is_sync_enabled || l->is_draining || !is_due(l, now_s) ||
        l->is_release_wanted || queue_is_claiming(l->queue) || l->is_settle_blocked)
        return false;
    if (l->settings->is_integration_enabled &&
        (l->is_token_failing || now_s < l->stop.until_s || pace_wait_s(&l->pace, now_s) > 0 ||
         share_granted(l->share) == 0))
        return false;
    if (l->stop.class != CLASS_SUCCESS)
        return l->in_hand == 0;
    /* Live contacts find room when bulk contacts have taken theirs. */
    return may_hold_more(l, LANE_LIVE) &&
           l->in_hand < (IN_HAND_CLAIMS + 1) * l->settings->batch_limit;
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
    double now_s = clock_now_s();
    int limit, bulk;

    if (l->next_look_s > 0 && l->next_look_s <= now_s) {
        l->next_look_s = 0;
        line_look_soon(l);
    }
    if (!may_claim(l, now_s))
        return;
    bulk = bulk_limit(l);
    limit = next_size(l, LANE_LIVE) + bulk;
    if (l->settings->batch_limit < limit)
        limit = l->settings->batch_limit;
    if (l->stop.class != CLASS_SUCCESS && limit > PROBE_CLAIM)
        limit = PROBE_CLAIM;
    l->was_notified = false;
    l->next_look_s = 0;
    if (!queue_claim(l->queue, limit, bulk < limit ? bulk : limit))
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
            line_move_contact(l, c, &l->ready[c->lane]);
    }
}

/*
 * A change whose commit began before we waited notifies nobody. An empty claim waits for such
 * commits, but only for a moment. One that takes longer, on a slow disk or until a far replica has
 * it, is found by another look. Claims of bulk contacts are looks too.
 */
static void
plan_look(struct line *l, bool is_live_found)
{
    if (is_live_found) {
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
    if (is_bulk_wanted(l))
        return l->next_claim_s;
    if (!l->is_hungry[LANE_LIVE])
        return l->next_look_s;
    return l->next_claim_s > l->next_live_s ? l->next_claim_s : l->next_live_s;
}

static void
set_size(struct line *l, queue_lane lane, int size)
{
    int limit = l->settings->batch_limit;

    l->claim_sizes[lane] = size < limit ? size : limit;
}

/* Sets the sizes of the next claims. */
static void
adapt_sizes(struct line *l, const queue_claim_result *result)
{
    int live = next_size(l, LANE_LIVE), bulk = next_size(l, LANE_BULK);
    double now_s = clock_now_s();
    double interval_s = now_s - l->bulk_claimed_s;

    if (result->claimed[LANE_LIVE] >= live)
        set_size(l, LANE_LIVE, 2 * live);
    if (result->claimed[LANE_BULK] == 0)
        return;
    l->bulk_claimed_s = now_s;
    if (interval_s < BULK_INTERVAL_MIN_S && result->claimed[LANE_BULK] == result->bulk_limit)
        set_size(l, LANE_BULK, 2 * bulk);
    else if (interval_s > BULK_INTERVAL_MAX_S)
        set_size(l, LANE_BULK, bulk / 2 > BULK_CLAIM_MIN ? bulk / 2 : BULK_CLAIM_MIN);
}

void
claim_take_contacts(struct line *l, struct contact_list *contacts, const queue_claim_result *result)
{
    int live = result->claimed[LANE_LIVE], bulk = result->claimed[LANE_BULK];

    /* Contacts that may be the cause of a fault come last. */
    take_claimed(l, contacts, false);
    take_claimed(l, contacts, true);
    l->claim_failures = 0;
    adapt_sizes(l, result);
    l->is_waiting |= live + bulk == 0 && !l->was_notified;
    if (live + bulk == 0)
        stop_note_nothing_waits(l);
    /* Only an empty claim shows that the queue is empty, because an agent that does not wait is not
     * notified. */
    l->is_hungry[LANE_LIVE] = live > 0 || !l->is_waiting;
    if (bulk > 0 || live + bulk == result->limit || l->was_notified)
        l->is_hungry[LANE_BULK] = true;
    else if (result->bulk_limit > 0)
        l->is_hungry[LANE_BULK] = false;
    plan_look(l, live > 0);
    if (live > 0)
        l->vain_looks = 0;
    else if (bulk == 0 && l->is_hungry[LANE_BULK])
        l->next_live_s =
            clock_now_s() + clock_backoff_s(VAIN_LOOK_MIN_S, VAIN_LOOK_MAX_S, l->vain_looks++);
    line_turn_soon(l);
}
