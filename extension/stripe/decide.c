/*
 * stripe/decide.c: decides what to do with a record, by comparing the time of the message with
 * the times of its row.
 *
 * It reads and writes no rows. stripe/customer.c adds the rule for two customers with one FxA ID.
 */
#include "extension/stripe/stripe.h"

#include "miscadmin.h"
#include "utils/builtins.h"

/*
 * Many objects refer to the same price, so the time of a price is not written for each message:
 * it may lag behind by less than this.
 */
#define PRICE_TIME_SLACK USECS_PER_SEC

/*
 * Far more often than other sessions can interfere. Without a limit, a trigger added by someone
 * else that refuses rows would cause an endless loop.
 */
#define MAX_ATTEMPTS 1000

const char *
stripe_owner_of(const StripeRecord *record)
{
    if (record->kind == STRIPE_PRICE)
        return record->id;
    if (record->nulls[STRIPE_OWNER] == 'n')
        return NULL;
    return TextDatumGetCString(record->values[STRIPE_OWNER]);
}

static bool
is_newer(const StripeBatch *batch, TimestampTz stored)
{
    return batch->has_message_time && batch->message_time > stored;
}

/*
 * Whether the times of the row are older than the message, which has the same content as the row.
 */
static bool
is_touch_due(const StripeBatch *batch, const StripeRecord *record, const StripeRow *row)
{
    if (record->purpose == STRIPE_MARK_DELETED)
        return is_newer(batch, row->deletion_time);
    if (record->is_list_complete && is_newer(batch, row->list_time))
        return true;
    if (record->kind == STRIPE_PRICE && row->message_time != DT_NOBEGIN)
        return is_newer(batch, row->message_time + PRICE_TIME_SLACK - 1);
    return is_newer(batch, row->message_time);
}

void
stripe_decide(const StripeBatch *batch, StripeRecord *record)
{
    StripeRow *row = &record->row;
    const StripeRow *parent = record->parent == NULL ? NULL : &record->parent->row;

    record->is_touch_due = false;
    if (record->purpose == STRIPE_LOCK) {
        record->action = STRIPE_NO_CHANGE;
        return;
    }
    if (!row->is_found) {
        bool is_gone = parent != NULL && parent->list_time > batch->message_time;

        record->action =
            is_gone || record->purpose != STRIPE_STORE ? STRIPE_SKIPPED : STRIPE_CREATED;
        return;
    }
    if (row->message_time > batch->message_time) {
        record->action = STRIPE_SKIPPED;
        record->is_touch_due = record->is_list_complete && is_newer(batch, row->list_time);
        return;
    }
    if (record->purpose == STRIPE_MARK_DELETED ? row->is_deleted : row->is_same) {
        record->action = STRIPE_NO_CHANGE;
        record->is_touch_due = is_touch_due(batch, record, row);
        return;
    }
    record->action = STRIPE_UPDATED;
}

void
stripe_count_attempt(int *attempts)
{
    CHECK_FOR_INTERRUPTS();
    if (++*attempts > MAX_ATTEMPTS)
        ereport(
            ERROR, errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
            errmsg("could not store the Stripe object because other sessions keep changing it"));
}
