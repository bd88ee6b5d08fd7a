/*
 * stripe/customer.c: stores customers. Only one customer may have a given FxA ID.
 */
#include "extension/stripe/stripe.h"

#include "utils/builtins.h"

/* Of two customers with the same FxA ID, the one with the newer content is kept. */
void
stripe_decide_customer(const StripeBatch *batch, StripeRecord *record, const StripeRow *other)
{
    stripe_decide(batch, record);
    if (!other->is_found || record->action == STRIPE_SKIPPED ||
        other->message_time <= batch->message_time)
        return;
    record->action = record->row.is_found ? STRIPE_DELETED : STRIPE_SKIPPED;
    record->is_touch_due = false;
}

static void
note_conflict(const StripeRecord *record)
{
    StripeReport *report = record->report;

    report->conflicts = lappend(report->conflicts, pstrdup(stripe_owner_of(record)));
}

/* Removes the other customer that has the same FxA ID. */
static void
remove_other_customer(StripeReport *report, const StripeRow *other)
{
    if (!stripe_delete(STRIPE_CUSTOMER, other->id, other->owner))
        return;
    stripe_report_action(report, STRIPE_CUSTOMER, other->id, STRIPE_DELETED);
    report->conflicts = lappend(report->conflicts, pstrdup(other->owner));
}

/*
 * Writes what was decided for the row as it is now. False when another session was faster.
 *
 * The FxA ID may belong to a row that this session cannot see yet. An UPDATE would wait for the
 * other session and then fail. So a customer whose FxA ID changes is deleted and inserted again:
 * the INSERT waits too, but then it stores nothing and does not fail.
 */
static bool
try_customer(const StripeBatch *batch, StripeRecord *record, StripeRow *replaced)
{
    switch (record->action) {
    case STRIPE_DELETED:
        stripe_delete(STRIPE_CUSTOMER, record->id, record->row.owner);
        note_conflict(record);
        return true;
    case STRIPE_UPDATED:
        if (record->purpose == STRIPE_MARK_DELETED ||
            strcmp(record->row.owner, stripe_owner_of(record)) == 0) {
            stripe_update(batch, record);
            return true;
        }
        stripe_delete(STRIPE_CUSTOMER, record->id, record->row.owner);
        *replaced = record->row;
        return stripe_insert(batch, record, replaced);
    case STRIPE_CREATED: return stripe_insert(batch, record, replaced);
    case STRIPE_NO_CHANGE:
    case STRIPE_SKIPPED:
        if (record->is_touch_due)
            stripe_touch(batch, record);
        return true;
    case STRIPE_ACTIONS: break;
    }
    elog(ERROR, "no such action of a Stripe record: %d", (int)record->action);
}

void
stripe_write_customer(const StripeBatch *batch, StripeRecord *record)
{
    StripeRow replaced = {
        .create_time = DT_NOBEGIN, .message_time = DT_NOBEGIN, .deletion_time = DT_NOBEGIN};
    StripeRow other;
    int attempts = 0;

    do {
        stripe_count_attempt(&attempts);
        stripe_read(batch, record, true, &record->row, &other);
        stripe_decide_customer(batch, record, &other);
        if (other.is_found &&
            (record->action == STRIPE_CREATED || record->action == STRIPE_UPDATED))
            remove_other_customer(record->report, &other);
    } while (!try_customer(batch, record, &replaced));
    if (!replaced.is_found)
        return;
    /* Its old row was deleted in an earlier attempt. */
    record->row = replaced;
    if (record->action == STRIPE_CREATED)
        record->action = STRIPE_UPDATED;
    if (record->action != STRIPE_SKIPPED)
        return;
    record->action = STRIPE_DELETED;
    note_conflict(record);
}

/* Compares by the FxA ID that a customer claims or, if it is marked deleted, has in its row. */
int
stripe_compare_claims(const void *left, const void *right)
{
    StripeRecord *a = *(StripeRecord *const *)left;
    StripeRecord *b = *(StripeRecord *const *)right;
    const char *a_claim = a->purpose == STRIPE_STORE ? stripe_owner_of(a) : a->row.owner;
    const char *b_claim = b->purpose == STRIPE_STORE ? stripe_owner_of(b) : b->row.owner;
    int result = strcmp(a_claim == NULL ? "" : a_claim, b_claim == NULL ? "" : b_claim);

    return result != 0 ? result : stripe_compare_records(left, right);
}
