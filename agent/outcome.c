/*
 * outcome.c: acts on the answer to a call; see outcome.h. The table in acoustic/classify.c says
 * what kind of answer it is.
 */
#include "agent/outcome.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "acoustic/answer.h"
#include "acoustic/classify.h"
#include "acoustic/table.h"
#include "agent/report.h"
#include "agent/stop.h"
#include "common/clock.h"
#include "common/log.h"

/* A call that was refused because of too many requests is sent again this often before that counts
 * as a failure. */
enum { OVERLOADS_MAX = 3 };

/* What an answer says, as text for logs and last_error. */
typedef struct finding {
    verdict verdict;
    char what[96];    /* such as "fault 121" */
    const char *text; /* Acoustic's own text; may be empty */
} finding;

/* ---- calls that end --------------------------------------------------------------- */

/* Ends the call; all its rows leave it. */
static void
end_rows(call *k, bool is_accepted)
{
    for (int i = 0; i < k->row_count; i++)
        line_end_row(k->line, k->rows[i], is_accepted);
    line_free_call(k);
}

static void
fail_rows(call *k, const finding *f, failure_class class)
{
    for (int i = 0; i < k->row_count; i++)
        contact_fail(k->rows[i]->contact, class, f->what, f->text);
    end_rows(k, false);
}

static void
fail_call(call *k, const finding *f, failure_class class)
{
    if (k->contact == NULL) {
        fail_rows(k, f, class);
        return;
    }
    contact_fail(k->contact, class, f->what, f->text);
    line_place_contact(k->line, k->contact);
    line_free_call(k);
}

static bool
is_about_one_contact(const call *k)
{
    for (int i = 1; i < k->row_count; i++) {
        if (k->rows[i]->contact != k->rows[0]->contact)
            return false;
    }
    return true;
}

static void
halve(call *k)
{
    struct line *l = k->line;
    int half = k->row_count / 2;
    call *rest = line_new_call(l, k->table, k->is_deletion, k->row_count - half);

    memcpy(rest->rows, k->rows + half, sizeof(*k->rows) * (size_t)(k->row_count - half));
    rest->row_count = k->row_count - half;
    k->row_count = half;
    k->was_refused = false;
    k->is_half = rest->is_half = true;
    k->halved_at_s = rest->halved_at_s = clock_now_s();
    line_put_back_call(rest);
    line_put_back_call(k);
}

/* ---- faults of the configuration -------------------------------------------------- */

/* True if the contact itself is the cause: it met such a fault before, and since then others were
 * accepted. */
static bool
is_own_fault(const call *k, const contact *c)
{
    const struct line *l = k->line;
    const suspect *entry = suspects_find_contact(&l->suspects, c, k->table);
    double good_s = l->last_success_s[k->table];

    return (entry != NULL && good_s > entry->since_s) || (k->is_half && good_s > k->halved_at_s);
}

/* True if rows are the cause: the table was refused, and has accepted other rows since. */
static bool
is_fault_of_rows(const call *k)
{
    const struct line *l = k->line;

    return l->stopped_at_s[k->table] > 0 && l->last_success_s[k->table] > l->stopped_at_s[k->table];
}

/* Writes the finding as one line, without anything personal. */
static void
describe(const call *k, const finding *f, char *why, size_t size)
{
    snprintf(why, size, "%s%s%s", f->what, *f->text ? ": " : "", f->text);
    if (k->contact != NULL)
        contact_redact(k->contact, why);
    for (int i = 0; i < k->row_count; i++)
        contact_redact(k->rows[i]->contact, why);
}

/*
 * As far as we know, this fault concerns every contact, so the line stops. But if others were
 * accepted since the line last stopped, the fault is that of this contact, or of some rows of this
 * call. In that case the contact fails with own_class.
 */
static void
on_common_fault(call *k, const finding *f, failure_class class, failure_class own_class)
{
    bool is_for_many = k->contact == NULL && !is_about_one_contact(k);
    const contact *c = k->contact != NULL ? k->contact : k->rows[0]->contact;
    char why[ERROR_SIZE];

    if (!is_for_many && is_own_fault(k, c)) {
        fail_call(k, f, own_class);
        return;
    }
    if (is_for_many && is_fault_of_rows(k)) {
        halve(k);
        return;
    }
    if (!is_for_many)
        suspects_add_contact(&k->line->suspects, c, k->table, clock_now_s());
    describe(k, f, why, sizeof(why));
    stop_begin(k->line, class, k, why);
    line_give_up_call(k);
}

/* ---- the other classes ------------------------------------------------------------ */

static void
on_authentication_fault(call *k, const finding *f)
{
    token_reject(k->line->tokens, k->token_number);
    if (k->was_refused) {
        /* A new token is refused as well, so the age of the token is not the reason. */
        on_common_fault(k, f, CLASS_AUTHENTICATION, CLASS_TRANSIENT);
        return;
    }
    k->was_refused = true;
    line_put_back_call(k);
}

/* If the rows belong to several contacts, no failure is counted: another contact may be the
 * cause. */
static void
on_transient_fault(call *k, const finding *f)
{
    bool is_for_many = k->contact == NULL && !is_about_one_contact(k);

    if (f->verdict.is_overload && (is_for_many || k->overloads++ < OVERLOADS_MAX))
        line_put_back_call(k);
    else if (is_for_many)
        halve(k);
    else
        fail_call(k, f, CLASS_TRANSIENT);
}

static void
on_contact_fault(call *k, const finding *f)
{
    if (k->contact == NULL && !is_about_one_contact(k))
        halve(k);
    else
        fail_call(k, f, CLASS_CONTACT);
}

/* ---- success ---------------------------------------------------------------------- */

static void
on_recipient_accepted(call *k)
{
    struct line *l = k->line;
    contact *c = k->contact;

    rate_note_contact(&l->rate);
    line_move_contact(l, c, &l->halfway);
    line_queue_rows(l, c);
    line_place_contact(l, c);
    line_free_call(k);
}

static contact *
find_in_call(const call *k, const char *email_id)
{
    for (int i = 0; i < k->row_count; i++) {
        if (strcasecmp(k->rows[i]->contact->email_id, email_id) == 0)
            return k->rows[i]->contact;
    }
    return NULL;
}

/* Marks the contacts whose rows were refused. Returns false, with the finding, when a failure
 * belongs to no contact of the call, or concerns every contact. */
static bool
mark_failures(call *k, const acoustic_answer *answer, finding *f)
{
    for (size_t i = 0; i < answer->failure_count; i++) {
        const acoustic_failure *failure = &answer->failures[i];
        contact *c = find_in_call(k, failure->email_id);
        finding of_row = {.text = failure->description};

        of_row.verdict = k->is_deletion ? classify_deleted_row(failure) : classify_row(failure);
        if (of_row.verdict.class == CLASS_SUCCESS)
            continue;
        snprintf(of_row.what, sizeof(of_row.what), "%s row refused", acoustic_table_name(k->table));
        if (c == NULL || of_row.verdict.class == CLASS_CONFIGURATION) {
            *f = of_row;
            return false;
        }
        contact_fail(c, of_row.verdict.class, of_row.what, of_row.text);
        c->statuses[k->table] = of_row.verdict.rule;
    }
    return true;
}

static void
on_rows_answered(call *k, const acoustic_answer *answer)
{
    finding f;

    if (mark_failures(k, answer, &f)) {
        stop_note_success(k->line, k);
        end_rows(k, true);
    } else if (f.verdict.class == CLASS_CONFIGURATION) {
        on_common_fault(k, &f, CLASS_CONFIGURATION, CLASS_CONTACT);
    } else if (is_about_one_contact(k)) {
        fail_call(k, &f, f.verdict.class);
    } else {
        halve(k);
    }
}

/* ---- all of them ------------------------------------------------------------------ */

static void
find(const call *k, finding *f, const http_client_answer *http, const acoustic_answer *answer)
{
    size_t size = sizeof(f->what);

    f->verdict = k->is_deletion ? classify_deletion(http->problem, http->status, answer)
                                : classify_answer(http->problem, http->status, answer);
    f->text = "";
    if (http->problem != NULL) {
        snprintf(f->what, size, "%s", http->problem);
    } else if (answer->result == ACOUSTIC_FAULT) {
        f->text = answer->text;
        if (answer->errorid >= 0)
            snprintf(f->what, size, "fault %ld", answer->errorid);
        else
            snprintf(f->what, size, "fault");
    } else if (http->length == 0) {
        snprintf(f->what, size, "empty answer, HTTP %d", http->status);
    } else {
        snprintf(f->what, size, "%s, HTTP %d",
                 answer->result == ACOUSTIC_SUCCESS ? "answer" : "no XML", http->status);
    }
}

static void
note_status(contact *c, const call *k, const finding *f, double duration_s)
{
    c->statuses[k->table] = f->verdict.class == CLASS_SUCCESS ? "success" : f->verdict.rule;
    c->durations_s[k->table] = duration_s;
}

/* False for a contact that has failed before: its failure says little about the service. */
static bool
is_news(const call *k)
{
    const contact *c = k->contact != NULL ? k->contact : k->rows[0]->contact;

    return c->retry == 0 || (k->contact == NULL && !is_about_one_contact(k));
}

static void
note_answer(call *k, const finding *f, double duration_s)
{
    struct line *l = k->line;
    double now_s = clock_now_s();

    /* If a half fails while others succeed, its rows are the likely cause, not the service. */
    if (f->verdict.slows_down && !(k->is_half && pace_is_healthy_since(&l->pace, k->started_s)))
        pace_note_trouble(&l->pace, is_news(k), k->started_s, now_s);
    else if (f->verdict.class == CLASS_SUCCESS || f->verdict.class == CLASS_CONTACT)
        pace_note_success(&l->pace, l->settings->max_in_flight, now_s);
    agent_metrics_note_request(l->metrics, k->table, k->is_deletion, f->verdict.class, duration_s);
    if (k->contact != NULL)
        note_status(k->contact, k, f, duration_s);
    for (int i = 0; i < k->row_count; i++)
        note_status(k->rows[i]->contact, k, f, duration_s);
}

void
outcome_take_answer(call *k, const http_client_answer *http)
{
    acoustic_answer answer;
    finding f;

    acoustic_answer_read(&answer, http->body, http->problem ? 0 : http->length);
    find(k, &f, http, &answer);
    note_answer(k, &f, http->duration_s);
    switch (f.verdict.class) {
    case CLASS_SUCCESS:
        if (k->contact == NULL) {
            on_rows_answered(k, &answer);
        } else {
            stop_note_success(k->line, k);
            on_recipient_accepted(k);
        }
        break;
    case CLASS_AUTHENTICATION: on_authentication_fault(k, &f); break;
    case CLASS_TRANSIENT: on_transient_fault(k, &f); break;
    case CLASS_CONTACT: on_contact_fault(k, &f); break;
    case CLASS_CONFIGURATION: on_common_fault(k, &f, CLASS_CONFIGURATION, CLASS_CONTACT); break;
    case FAILURE_CLASSES: break;
    }
    acoustic_answer_free(&answer);
}

/* ---- settling --------------------------------------------------------------------- */

/*
 * Drops outcomes that are later than their lease. By now another agent, or this one, may have
 * claimed the contact again, and the outcome would be taken for the outcome of that attempt. The
 * contact is sent again.
 */
static void
drop_late_outcomes(struct line *l)
{
    double now_s = clock_now_s();
    contact *c, *next;
    int dropped = 0;

    for (c = TAILQ_FIRST(&l->outcomes); c != NULL; c = next) {
        next = TAILQ_NEXT(c, link);
        if (c->lease_ends_s > now_s)
            continue;
        line_drop_contact(l, c);
        dropped++;
    }
    if (dropped > 0)
        log_message(LOG_LEVEL_WARNING, REPORT_SYNC,
                    "the outcome of %d contacts came after their lease: they are sent again",
                    dropped);
}

void
outcome_settle_all(struct line *l)
{
    struct contact_list batch;
    contact *c;

    if (TAILQ_EMPTY(&l->outcomes) || queue_is_settling(l->queue) || l->is_settle_blocked)
        return;
    drop_late_outcomes(l);
    if (TAILQ_EMPTY(&l->outcomes))
        return;
    TAILQ_INIT(&batch);
    TAILQ_FOREACH(c, &l->outcomes, link)
    {
        c->list = NULL;
    }
    TAILQ_CONCAT(&batch, &l->outcomes, link);
    queue_settle(l->queue, &batch);
}
