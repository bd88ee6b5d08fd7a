/*
 * send.c: decides what is sent next, and sends it; see sync_internal.h.
 *
 * Order: what must be sent again; full calls of rows; rows that have waited too long;
 * AddRecipients; and, when none are left, rows that could still wait.
 */
#include <stdlib.h>

#include "agent/acoustic/xml.h"
#include "agent/sync_internal.h"
#include "common/clock.h"

/* How long rows wait for others to fill their call: while contacts are waiting to be sent,
 * and while there is nothing better to do. */
#define LINGER_BUSY_S 2.0
#define LINGER_IDLE_S 0.05
/* XML in one call; a row that is larger goes alone. */
enum { CALL_BYTES_MAX = 1024 * 1024 };
/* More than the failures of 100 rows need; what is larger is no answer of the XML API. */
enum { ANSWER_MAX = 4 * 1024 * 1024 };

call *
call_new(struct sync *s, acoustic_table table, bool is_deletion, int row_count)
{
    call *k = xcalloc(1, sizeof(*k));

    k->sync = s;
    k->table = table;
    k->is_deletion = is_deletion;
    k->rows = row_count > 0 ? xcalloc((size_t)row_count, sizeof(*k->rows)) : NULL;
    return k;
}

void
call_free(call *k)
{
    free(k->rows);
    free(k);
}

bool
send_is_too_late(const struct sync *s, const contact *c, double now_s)
{
    /* The answer must be in, and its outcome written. */
    return c->lease_ends_s < now_s + 2 * s->settings->timeout_s;
}

/* ---- rows ------------------------------------------------------------------------- */

static void
unqueue_row(struct sync *s, contact_row *row)
{
    int lane = lane_of(row->table, row->is_deletion);

    TAILQ_REMOVE(&s->waiting[lane], row, link);
    s->waiting_counts[lane]--;
}

void
send_forget_rows(struct sync *s, contact *c)
{
    for (int i = 0; i < c->row_count; i++) {
        if (c->rows[i]->state == ROW_WAITING) {
            unqueue_row(s, c->rows[i]);
            c->rows[i]->state = ROW_IDLE;
        }
    }
}

void
send_queue_rows(struct sync *s, contact *c)
{
    double now_s = clock_now_s();

    for (int i = 0; i < c->row_count; i++) {
        contact_row *row = c->rows[i];
        int lane = lane_of(row->table, row->is_deletion);

        row->state = ROW_WAITING;
        row->ready_at_s = now_s;
        TAILQ_INSERT_TAIL(&s->waiting[lane], row, link);
        s->waiting_counts[lane]++;
    }
}

/*
 * Rows that go into one call. A contact that has failed before may be what made the whole
 * call fail: it shares a call only with its like, half as many for each failure, so that in
 * the end it is alone. While the line tries whether it can run again, so is everybody.
 */
static int
rows_limit(const contact *c)
{
    return c->retry < 7 ? ROWS_PER_CALL >> c->retry : 1;
}

static call *
take_rows(struct sync *s, int lane)
{
    contact_row *row = TAILQ_FIRST(&s->waiting[lane]), *next;
    int retry = row->contact->retry;
    int limit = rows_limit(row->contact) > 0 ? rows_limit(row->contact) : 1;
    const contact *only = s->stop.class != CLASS_SUCCESS ? row->contact : NULL;
    call *k = call_new(s, row->table, row->is_deletion, limit);
    size_t bytes = 0;

    for (; row != NULL && k->row_count < limit; row = next) {
        next = TAILQ_NEXT(row, link);
        if (row->contact->retry != retry || (only != NULL && row->contact != only))
            continue;
        bytes += row->columns.length;
        if (bytes > CALL_BYTES_MAX && k->row_count > 0)
            break;
        unqueue_row(s, row);
        row->state = ROW_TAKEN;
        row->contact->rows_taken++;
        k->rows[k->row_count++] = row;
    }
    return k;
}

/* When the rows of a lane should go, full call or not. */
static double
rows_due_s(const struct sync *s, int lane)
{
    const contact_row *first = TAILQ_FIRST(&s->waiting[lane]);
    bool is_busy = !TAILQ_EMPTY(&s->ready);

    if (s->is_draining || s->stop.class != CLASS_SUCCESS ||
        (!is_busy && s->adding == 0 && !queue_is_claiming(s->queue)))
        return first->ready_at_s;
    return first->ready_at_s + (is_busy ? LINGER_BUSY_S : LINGER_IDLE_S);
}

static bool
is_lane_due(const struct sync *s, int lane, double now_s)
{
    return s->waiting_counts[lane] >= ROWS_PER_CALL ||
           (s->waiting_counts[lane] > 0 && rows_due_s(s, lane) <= now_s);
}

static call *
take_due_rows(struct sync *s, double now_s)
{
    for (int lane = 0; lane < LANES; lane++) {
        if (is_lane_due(s, lane, now_s))
            return take_rows(s, lane);
    }
    return NULL;
}

/* ---- what is next ----------------------------------------------------------------- */

/* A call that waited may meanwhile be too late, or hold rows of contacts that have failed.
 * False when nothing of it is left. */
static bool
keep_wanted(struct sync *s, call *k, double now_s)
{
    int kept = 0;

    if (k->contact != NULL) {
        k->contact->is_dropped |= send_is_too_late(s, k->contact, now_s);
        return !k->contact->is_dropped;
    }
    for (int i = 0; i < k->row_count; i++) {
        contact *c = k->rows[i]->contact;

        c->is_dropped |= send_is_too_late(s, c, now_s);
        if (c->has_failed || c->is_dropped)
            outcome_of_row(s, k->rows[i], false);
        else
            k->rows[kept++] = k->rows[i];
    }
    k->row_count = kept;
    return kept > 0;
}

static call *
take_again(struct sync *s, double now_s)
{
    call *k;

    while ((k = TAILQ_FIRST(&s->again)) != NULL) {
        TAILQ_REMOVE(&s->again, k, link);
        if (keep_wanted(s, k, now_s))
            return k;
        outcome_give_up(k);
    }
    return NULL;
}

static call *
take_contact(struct sync *s, double now_s)
{
    contact *c;

    while ((c = TAILQ_FIRST(&s->ready)) != NULL) {
        call *k;

        sync_move(s, c, NULL);
        if (send_is_too_late(s, c, now_s)) {
            sync_drop(s, c);
            continue;
        }
        k = call_new(s, ACOUSTIC_MAIN, c->is_deletion, 0);
        k->contact = c;
        return k;
    }
    return NULL;
}

static call *
next_call(struct sync *s, double now_s)
{
    call *k = take_again(s, now_s);

    if (k == NULL)
        k = take_due_rows(s, now_s);
    if (k == NULL)
        k = take_contact(s, now_s);
    /* Now that no contact is left, rows may be due that were not before. */
    return k != NULL ? k : take_due_rows(s, now_s);
}

/* ---- sending ---------------------------------------------------------------------- */

static void
on_answer(void *arg, const http_client_answer *answer)
{
    call *k = arg;
    struct sync *s = k->sync;

    TAILQ_REMOVE(&s->sent, k, link);
    s->in_flight--;
    s->adding -= k->contact != NULL;
    outcome_of_call(k, answer);
    sync_turn_soon(s);
}

static void
build_body(const call *k, buf *body)
{
    const agent_settings *settings = k->sync->settings;

    if (k->contact != NULL) {
        const contact *c = k->contact;

        if (k->is_deletion) {
            acoustic_xml_remove_recipient(body, settings->table_ids[ACOUSTIC_MAIN], c->email_id);
            return;
        }
        acoustic_xml_add_recipient(body, settings->table_ids[ACOUSTIC_MAIN], c->email_id,
                                   c->columns.data, c->columns.length);
        return;
    }
    acoustic_xml_begin_rows(body, settings->table_ids[k->table], k->is_deletion);
    for (int i = 0; i < k->row_count; i++)
        acoustic_xml_row(body, k->rows[i]->columns.data, k->rows[i]->columns.length);
    acoustic_xml_end_rows(body, k->is_deletion);
}

static void
send_call(call *k, const char *token, double now_s)
{
    struct sync *s = k->sync;
    buf url = BUF_INIT, authorization = BUF_INIT, body = BUF_INIT;
    const char *headers[] = {"Content-Type: text/xml;charset=UTF-8", NULL, NULL};
    http_client_request request = {
        .headers = headers, .answer_max = ANSWER_MAX, .timeout_s = s->settings->timeout_s};

    buf_printf(&url, "%s/XMLAPI", s->settings->base_url);
    buf_printf(&authorization, "Authorization: Bearer %s", token);
    request.url = buf_text(&url);
    headers[1] = buf_text(&authorization);
    build_body(k, &body);
    k->started_s = now_s;
    TAILQ_INSERT_TAIL(&s->sent, k, link);
    s->in_flight++;
    s->adding += k->contact != NULL;
    http_client_send(s->http, &request, &body, on_answer, k);
    buf_free(&url);
    buf_free(&authorization);
}

static int
allowed_in_flight(const struct sync *s, double now_s)
{
    int limit = share_granted(s->share);

    if (limit > s->settings->max_in_flight)
        limit = s->settings->max_in_flight;
    if (now_s < s->stop.until_s)
        return 0;
    if (s->stop.class != CLASS_SUCCESS && limit > 1)
        limit = 1;
    return pace_allowed(&s->pace, limit, now_s);
}

bool
send_is_held_back(const struct sync *s)
{
    return allowed_in_flight(s, clock_now_s()) == 0;
}

bool
send_is_short_of_slots(const struct sync *s)
{
    double now_s = clock_now_s();

    if (s->in_flight < share_granted(s->share))
        return false;
    if (share_granted(s->share) == 0 || !TAILQ_EMPTY(&s->again) || !TAILQ_EMPTY(&s->ready))
        return true;
    for (int lane = 0; lane < LANES; lane++) {
        if (is_lane_due(s, lane, now_s))
            return true;
    }
    return false;
}

void
send_all(struct sync *s)
{
    double now_s = clock_now_s();

    while (s->in_flight < allowed_in_flight(s, now_s)) {
        unsigned number;
        const char *token;
        call *k = next_call(s, now_s);

        if (k == NULL)
            return;
        token = token_get(s->tokens, &number);
        if (token == NULL) {
            TAILQ_INSERT_HEAD(&s->again, k, link);
            return;
        }
        k->token_number = number;
        send_call(k, token, now_s);
    }
}

double
send_next_due_s(const struct sync *s)
{
    double now_s = clock_now_s();
    double wait_s = pace_wait_s(&s->pace, now_s);
    double due_s = 0;

    if (now_s < s->stop.until_s)
        return s->stop.until_s;
    if (wait_s > 0)
        return now_s + wait_s;
    for (int lane = 0; lane < LANES; lane++) {
        if (s->waiting_counts[lane] > 0) {
            double rows_s = rows_due_s(s, lane);

            due_s = due_s == 0 || rows_s < due_s ? rows_s : due_s;
        }
    }
    /* What is due already waits for an answer, not for a moment. */
    return due_s > now_s ? due_s : 0;
}
