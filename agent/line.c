/* line.c: moves contacts, rows and calls between the lists of the line; see line.h. */
#include "agent/line.h"

#include <stdlib.h>

#include "common/clock.h"

void
line_turn_soon(struct line *l)
{
    event_active(l->turn, EV_TIMEOUT, 0);
}

void
line_look_soon(struct line *l)
{
    for (int lane = 0; lane < LANES; lane++)
        l->is_hungry[lane] = true;
    line_turn_soon(l);
}

int
line_count_ready(const struct line *l)
{
    return l->ready_counts[LANE_LIVE] + l->ready_counts[LANE_BULK];
}

/* ---- waiting rows ----------------------------------------------------------------- */

static void
unqueue_row(struct line *l, contact_row *row)
{
    int kind = line_row_kind(row->table, row->is_deletion);

    TAILQ_REMOVE(&l->waiting[kind][row->contact->lane], row, link);
    l->waiting_counts[kind]--;
}

static void
forget_rows(struct line *l, contact *c)
{
    for (int i = 0; i < c->row_count; i++) {
        if (c->rows[i]->state == ROW_WAITING) {
            unqueue_row(l, c->rows[i]);
            c->rows[i]->state = ROW_IDLE;
        }
    }
}

void
line_queue_rows(struct line *l, contact *c)
{
    double now_s = clock_now_s();

    for (int i = 0; i < c->row_count; i++) {
        contact_row *row = c->rows[i];
        int kind = line_row_kind(row->table, row->is_deletion);

        row->state = ROW_WAITING;
        row->ready_at_s = now_s;
        TAILQ_INSERT_TAIL(&l->waiting[kind][c->lane], row, link);
        l->waiting_counts[kind]++;
    }
}

void
line_take_row(call *k, contact_row *row)
{
    unqueue_row(k->line, row);
    row->state = ROW_TAKEN;
    row->contact->rows_taken++;
    k->rows[k->row_count++] = row;
}

/* ---- contacts --------------------------------------------------------------------- */

void
line_move_contact(struct line *l, contact *c, struct contact_list *list)
{
    if (c->list != NULL)
        TAILQ_REMOVE(c->list, c, link);
    l->ready_counts[c->lane] += (list == &l->ready[c->lane]) - (c->list == &l->ready[c->lane]);
    c->list = list;
    if (list != NULL)
        TAILQ_INSERT_TAIL(list, c, link);
}

void
line_settle_contact(struct line *l, contact *c)
{
    forget_rows(l, c);
    line_move_contact(l, c, &l->outcomes);
}

void
line_drop_contact(struct line *l, contact *c)
{
    forget_rows(l, c);
    line_move_contact(l, c, NULL);
    l->in_hand--;
    l->claim_sizes[c->lane] = 0;
    contact_free(c);
}

void
line_drop_contacts(struct line *l, struct contact_list *list)
{
    contact *c;

    while ((c = TAILQ_FIRST(list)) != NULL)
        line_drop_contact(l, c);
}

void
line_drop_ready(struct line *l)
{
    for (int lane = 0; lane < LANES; lane++)
        line_drop_contacts(l, &l->ready[lane]);
}

void
line_place_contact(struct line *l, contact *c)
{
    if (c->rows_taken > 0)
        return;
    if (c->has_failed || (!c->is_dropped && c->rows_left == 0))
        line_settle_contact(l, c);
    else if (c->is_dropped)
        line_drop_contact(l, c);
}

void
line_end_row(struct line *l, contact_row *row, bool is_accepted)
{
    contact *c = row->contact;

    row->state = is_accepted ? ROW_ACCEPTED : ROW_IDLE;
    c->rows_taken--;
    c->rows_left -= is_accepted;
    line_place_contact(l, c);
}

/* ---- calls ------------------------------------------------------------------------ */

call *
line_new_call(struct line *l, acoustic_table table, bool is_deletion, int row_count)
{
    call *k = xcalloc(1, sizeof(*k));

    k->line = l;
    k->table = table;
    k->is_deletion = is_deletion;
    k->rows = row_count > 0 ? xcalloc((size_t)row_count, sizeof(*k->rows)) : NULL;
    return k;
}

void
line_free_call(call *k)
{
    free(k->rows);
    free(k);
}

void
line_put_back_call(call *k)
{
    TAILQ_INSERT_HEAD(&k->line->again, k, link);
}

void
line_give_up_call(call *k)
{
    struct line *l = k->line;

    if (k->contact != NULL) {
        k->contact->is_dropped = true;
        line_place_contact(l, k->contact);
    }
    for (int i = 0; i < k->row_count; i++)
        k->rows[i]->contact->is_dropped = true;
    for (int i = 0; i < k->row_count; i++)
        line_end_row(l, k->rows[i], false);
    line_free_call(k);
}

void
line_drop_unsent(struct line *l)
{
    contact *c, *next;
    call *k;

    while ((k = TAILQ_FIRST(&l->again)) != NULL) {
        TAILQ_REMOVE(&l->again, k, link);
        line_give_up_call(k);
    }
    line_drop_ready(l);
    for (c = TAILQ_FIRST(&l->halfway); c != NULL; c = next) {
        next = TAILQ_NEXT(c, link);
        c->is_dropped = true;
        if (c->rows_taken == 0)
            line_drop_contact(l, c);
        else
            forget_rows(l, c);
    }
    l->is_release_wanted = true;
    line_turn_soon(l);
}

/* ---- leases ----------------------------------------------------------------------- */

bool
line_is_quiet(const struct line *l)
{
    return l->in_flight == 0 && TAILQ_EMPTY(&l->again) && TAILQ_EMPTY(&l->outcomes) &&
           !queue_is_settling(l->queue) && !queue_is_claiming(l->queue);
}

void
line_release_leases(struct line *l)
{
    if (!l->is_release_wanted || l->is_releasing || !line_is_quiet(l))
        return;
    /* Contacts that were claimed meanwhile must not be sent without a lease. */
    line_drop_ready(l);
    line_drop_contacts(l, &l->halfway);
    l->is_releasing = queue_release(l->queue);
    if (!l->is_releasing) {
        l->is_release_wanted = false; /* the database is away: the leases will expire */
        l->is_given_back = l->is_draining;
    }
}

/* ---- life ------------------------------------------------------------------------- */

void
line_init(struct line *l, struct event_base *base, const agent_settings *settings,
          agent_metrics *metrics)
{
    *l = (struct line){.base = base, .settings = settings, .metrics = metrics};
    for (int lane = 0; lane < LANES; lane++)
        TAILQ_INIT(&l->ready[lane]);
    TAILQ_INIT(&l->halfway);
    TAILQ_INIT(&l->outcomes);
    TAILQ_INIT(&l->again);
    TAILQ_INIT(&l->sent);
    for (int i = 0; i < ROW_KINDS * LANES; i++)
        TAILQ_INIT(&l->waiting[i / LANES][i % LANES]);
    pace_init(&l->pace, settings->max_in_flight);
}

static void
free_calls(struct call_list *calls)
{
    call *k;

    while ((k = TAILQ_FIRST(calls)) != NULL) {
        TAILQ_REMOVE(calls, k, link);
        if (k->contact != NULL)
            contact_free(k->contact);
        line_free_call(k);
    }
}

void
line_clear(struct line *l)
{
    free_calls(&l->sent);
    free_calls(&l->again);
    for (int lane = 0; lane < LANES; lane++)
        contact_free_list(&l->ready[lane]);
    contact_free_list(&l->halfway);
    contact_free_list(&l->outcomes);
}
