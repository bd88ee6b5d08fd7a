/*
 * send.c: decides what to send next, and sends it; see send.h.
 *
 * The order is: calls that must be sent again; full calls of rows; rows that have waited too long;
 * AddRecipients; and, when there are no more of those, rows that could still wait. AddRecipients of
 * live contacts come before those of bulk contacts, which get at least one in ten.
 */
#include "agent/send.h"

#include "acoustic/xml.h"
#include "agent/outcome.h"
#include "common/clock.h"

/* How long rows wait for others to fill their call: while contacts of their lane wait to be sent,
 * or live ones; rows of live contacts while only bulk contacts wait; and while there is nothing
 * else to send. */
#define LINGER_BUSY_S 2.0
#define LINGER_LIVE_S 0.2
#define LINGER_IDLE_S 0.05
/* Limits of one call: rows, and bytes of XML. A larger row is sent alone. */
enum { ROWS_PER_CALL = 100, CALL_BYTES_MAX = 1024 * 1024 };
/* The failures of 100 rows need less; anything larger is not an answer of the XML API. */
enum { ANSWER_MAX = 4 * 1024 * 1024 };

/* The lease might end before the answer has arrived and its outcome is written: do not send. */
static bool
is_too_late(const struct line *l, const contact *c, double now_s)
{
    return c->lease_ends_s < now_s + 2 * l->settings->acoustic.timeout_s;
}

/* ---- rows ------------------------------------------------------------------------- */

/*
 * How many rows may share a call with this contact's. A contact that has failed before may be the
 * reason why a whole call failed. So it shares a call only with contacts that failed as often, and
 * with half as many after each failure, until it is alone.
 */
static int
rows_limit(const contact *c)
{
    return c->retry < 7 ? ROWS_PER_CALL >> c->retry : 1;
}

/* Moves rows into the call while there is room. */
static void
fill_call(call *k, struct row_list *rows, const contact *like, int limit)
{
    const struct line *l = k->line;
    contact_row *row, *next;
    size_t bytes = 0;

    for (int i = 0; i < k->row_count; i++)
        bytes += k->rows[i]->columns.length;
    for (row = TAILQ_FIRST(rows); row != NULL && k->row_count < limit; row = next) {
        next = TAILQ_NEXT(row, link);
        if (row->contact->retry != like->retry ||
            (l->stop.class != CLASS_SUCCESS && row->contact != like))
            continue;
        bytes += row->columns.length;
        if (bytes > CALL_BYTES_MAX && k->row_count > 0)
            break;
        line_take_row(k, row);
    }
}

/* When the rows of a kind and lane should be sent, even if the call is not full; 0: there are
 * none. */
static double
lane_due_s(const struct line *l, int kind, queue_lane lane)
{
    const contact_row *first = TAILQ_FIRST(&l->waiting[kind][lane]);
    bool is_live_ready = !TAILQ_EMPTY(&l->ready[LANE_LIVE]);
    bool is_bulk_ready = !TAILQ_EMPTY(&l->ready[LANE_BULK]);

    if (first == NULL)
        return 0;
    if (l->is_draining || l->stop.class != CLASS_SUCCESS)
        return first->ready_at_s;
    if (is_live_ready || (is_bulk_ready && lane == LANE_BULK))
        return first->ready_at_s + LINGER_BUSY_S;
    if (is_bulk_ready)
        return first->ready_at_s + LINGER_LIVE_S;
    if (l->adding > 0 || queue_is_claiming(l->queue))
        return first->ready_at_s + LINGER_IDLE_S;
    return first->ready_at_s;
}

/* The lane whose rows should be sent first. */
static queue_lane
lane_due_first(const struct line *l, int kind)
{
    double live_s = lane_due_s(l, kind, LANE_LIVE), bulk_s = lane_due_s(l, kind, LANE_BULK);

    return live_s > 0 && (bulk_s == 0 || live_s <= bulk_s) ? LANE_LIVE : LANE_BULK;
}

/* Makes a call of those rows that should be sent first; rows of the other lane get the rest of its
 * room. */
static call *
take_rows(struct line *l, int kind)
{
    queue_lane first = lane_due_first(l, kind);
    contact_row *row = TAILQ_FIRST(&l->waiting[kind][first]);
    int limit = rows_limit(row->contact) > 0 ? rows_limit(row->contact) : 1;
    call *k = line_new_call(l, row->table, row->is_deletion, limit);

    fill_call(k, &l->waiting[kind][first], row->contact, limit);
    fill_call(k, &l->waiting[kind][first == LANE_LIVE ? LANE_BULK : LANE_LIVE], row->contact,
              limit);
    return k;
}

/* When the rows of a kind should be sent, even if the call is not full. */
static double
rows_due_s(const struct line *l, int kind)
{
    return lane_due_s(l, kind, lane_due_first(l, kind));
}

static bool
are_rows_due(const struct line *l, int kind, double now_s)
{
    return l->waiting_counts[kind] >= ROWS_PER_CALL ||
           (l->waiting_counts[kind] > 0 && rows_due_s(l, kind) <= now_s);
}

static call *
take_due_rows(struct line *l, double now_s)
{
    for (int kind = 0; kind < ROW_KINDS; kind++) {
        if (are_rows_due(l, kind, now_s))
            return take_rows(l, kind);
    }
    return NULL;
}

/* ---- what is next ----------------------------------------------------------------- */

/* Removes from a waiting call what must not be sent any more: its lease is too short, or the
 * contact has failed. Returns false when nothing is left. */
static bool
keep_wanted(struct line *l, call *k, double now_s)
{
    int kept = 0;

    if (k->contact != NULL) {
        k->contact->is_dropped |= is_too_late(l, k->contact, now_s);
        return !k->contact->is_dropped;
    }
    for (int i = 0; i < k->row_count; i++) {
        contact *c = k->rows[i]->contact;

        c->is_dropped |= is_too_late(l, c, now_s);
        if (c->has_failed || c->is_dropped)
            line_end_row(l, k->rows[i], false);
        else
            k->rows[kept++] = k->rows[i];
    }
    k->row_count = kept;
    return kept > 0;
}

static call *
take_again(struct line *l, double now_s)
{
    call *k;

    while ((k = TAILQ_FIRST(&l->again)) != NULL) {
        TAILQ_REMOVE(&l->again, k, link);
        if (keep_wanted(l, k, now_s))
            return k;
        line_give_up_call(k);
    }
    return NULL;
}

/* The contact whose AddRecipient is next; null: there is none. */
static contact *
next_contact(const struct line *l)
{
    contact *live = TAILQ_FIRST(&l->ready[LANE_LIVE]);
    contact *bulk = TAILQ_FIRST(&l->ready[LANE_BULK]);

    if (live == NULL || (bulk != NULL && l->live_in_a_row >= LIVE_PER_BULK))
        return bulk;
    return live;
}

static call *
take_contact(struct line *l, double now_s)
{
    contact *c;

    while ((c = next_contact(l)) != NULL) {
        call *k;

        line_move_contact(l, c, NULL);
        if (is_too_late(l, c, now_s)) {
            line_drop_contact(l, c);
            continue;
        }
        if (c->lane == LANE_BULK)
            l->live_in_a_row = 0;
        else if (l->live_in_a_row < LIVE_PER_BULK)
            l->live_in_a_row++;
        k = line_new_call(l, ACOUSTIC_MAIN, c->is_deletion, 0);
        k->contact = c;
        return k;
    }
    return NULL;
}

static call *
next_call(struct line *l, double now_s)
{
    call *k = take_again(l, now_s);

    if (k == NULL)
        k = take_due_rows(l, now_s);
    if (k == NULL)
        k = take_contact(l, now_s);
    /* Now no contact is left, so rows may be due that were not due before. */
    return k != NULL ? k : take_due_rows(l, now_s);
}

/* ---- sending ---------------------------------------------------------------------- */

/* Acoustic may still be at work on a request that was sent and has no answer, and on one that a
 * proxy in front of it did not wait for. */
static bool
is_perhaps_at_work(const http_client_answer *answer)
{
    return answer->problem != NULL ? answer->was_sent
                                   : answer->status == 502 || answer->status == 504;
}

static void
on_answer(void *arg, const http_client_answer *answer)
{
    call *k = arg;
    struct line *l = k->line;

    TAILQ_REMOVE(&l->sent, k, link);
    l->in_flight--;
    if (is_perhaps_at_work(answer))
        share_hold(l->share);
    l->adding -= k->contact != NULL;
    /* Most likely the connection was idle for too long, and the request was not read. */
    if (answer->was_closed && !k->was_closed) {
        k->was_closed = true;
        line_put_back_call(k);
    } else {
        outcome_take_answer(k, answer);
    }
    line_turn_soon(l);
}

static void
build_body(const call *k, buf *body)
{
    const agent_settings *settings = k->line->settings;

    if (k->contact != NULL) {
        const contact *c = k->contact;

        if (k->is_deletion) {
            acoustic_xml_remove_recipient(body, settings->acoustic.table_ids[ACOUSTIC_MAIN],
                                          c->email_id);
            return;
        }
        acoustic_xml_add_recipient(body, settings->acoustic.table_ids[ACOUSTIC_MAIN], c->email_id,
                                   c->columns.data, c->columns.length);
        return;
    }
    acoustic_xml_begin_rows(body, settings->acoustic.table_ids[k->table], k->is_deletion);
    for (int i = 0; i < k->row_count; i++)
        acoustic_xml_append_row(body, k->rows[i]->columns.data, k->rows[i]->columns.length);
    acoustic_xml_end_rows(body, k->is_deletion);
}

static void
send_call(call *k, const char *token, double now_s)
{
    struct line *l = k->line;
    buf url = BUF_INIT, authorization = BUF_INIT, body = BUF_INIT;
    const char *headers[] = {"Content-Type: text/xml;charset=UTF-8", NULL, NULL};
    http_client_request request = {.headers = headers,
                                   .answer_max = ANSWER_MAX,
                                   .timeout_s = l->settings->acoustic.timeout_s,
                                   .is_sent_once = true};

    buf_printf(&url, "%s/XMLAPI", l->settings->acoustic.base_url);
    buf_printf(&authorization, "Authorization: Bearer %s", token);
    request.url = buf_text(&url);
    headers[1] = buf_text(&authorization);
    build_body(k, &body);
    k->started_s = now_s;
    TAILQ_INSERT_TAIL(&l->sent, k, link);
    l->in_flight++;
    l->adding += k->contact != NULL;
    http_client_send(l->http, &request, &body, on_answer, k);
    buf_free(&url);
    buf_free(&authorization);
}

static int
allowed_in_flight(const struct line *l, double now_s)
{
    int limit = share_granted(l->share);

    if (now_s < l->stop.until_s)
        return 0;
    if (l->stop.class != CLASS_SUCCESS && limit > 1)
        limit = 1;
    return pace_allowed(&l->pace, limit, now_s);
}

bool
send_is_held_back(const struct line *l)
{
    return allowed_in_flight(l, clock_now_s()) == 0;
}

bool
send_is_short_of_slots(const struct line *l)
{
    double now_s = clock_now_s();

    if (l->in_flight < share_granted(l->share))
        return false;
    if (share_granted(l->share) == 0 || !TAILQ_EMPTY(&l->again) || line_count_ready(l) > 0)
        return true;
    for (int kind = 0; kind < ROW_KINDS; kind++) {
        if (are_rows_due(l, kind, now_s))
            return true;
    }
    return false;
}

void
send_all(struct line *l)
{
    double now_s = clock_now_s();

    while (l->in_flight < allowed_in_flight(l, now_s)) {
        unsigned number;
        const char *token;
        call *k = next_call(l, now_s);

        if (k == NULL)
            return;
        token = token_get(l->tokens, &number);
        if (token == NULL) {
            line_put_back_call(k);
            return;
        }
        k->token_number = number;
        send_call(k, token, now_s);
    }
}

double
send_next_due_s(const struct line *l)
{
    double now_s = clock_now_s();
    double wait_s = pace_wait_s(&l->pace, now_s);
    double due_s = 0;

    if (now_s < l->stop.until_s)
        return l->stop.until_s;
    if (wait_s > 0)
        return now_s + wait_s;
    for (int kind = 0; kind < ROW_KINDS; kind++) {
        if (l->waiting_counts[kind] > 0) {
            double rows_s = rows_due_s(l, kind);

            due_s = due_s == 0 || rows_s < due_s ? rows_s : due_s;
        }
    }
    /* Rows that are due already wait for an answer, not for a time. */
    return due_s > now_s ? due_s : 0;
}
