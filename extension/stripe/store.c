/*
 * stripe/store.c: stores the records of a batch.
 *
 * Rows that are already stored are first read without any lock. So repeated objects, and above
 * all the few prices that everything refers to, cost only a read and block nobody. Rows that must
 * be written are locked and written in one fixed order: customers (by FxA ID), prices,
 * subscriptions, invoices, subscription items, invoice lines (each by id). An item or line is
 * only written while its parent is locked. Queue rows come last, at commit (queue/flush.c).
 *
 * The content of each row is decided from the times of messages. A row keeps the time of the
 * newest message that it agrees with; a parent also keeps the time of the newest message that
 * listed all its children. So the rows end up the same in whatever order the messages arrive.
 */
#include "extension/stripe/stripe.h"

#include "extension/base/errors.h"
#include "miscadmin.h"
#include "utils/builtins.h"

static bool
is_settled(const StripeRecord *record)
{
    return !record->is_touch_due &&
           (record->action == STRIPE_NO_CHANGE || record->action == STRIPE_SKIPPED);
}

/* ---- writing -------------------------------------------------------------------------------- */

static void
note_affected(StripeReport *report, StripeKind kind, const char *owner)
{
    if (owner != NULL)
        report->affected[kind] = lappend(report->affected[kind], pstrdup(owner));
}

/*
 * Adds a record to the report. If something has changed, also notes the owner that leads to its
 * contact.
 */
static void
note_done(const StripeRecord *record)
{
    if (record->action == STRIPE_SKIPPED) {
        bool is_stored = record->row.is_found || record->purpose != STRIPE_MARK_DELETED;

        stripe_report_skip(record->report,
                           is_stored ? STRIPE_SKIP_OUTDATED : STRIPE_SKIP_NOT_STORED,
                           stripe_maps[record->kind].object, record->id);
        return;
    }
    stripe_report_action(record->report, record->kind, record->id, record->action);
    if (record->action == STRIPE_NO_CHANGE)
        return;
    if (record->row.is_found && record->row.is_seen_same)
        return;
    note_affected(record->report, record->kind, stripe_owner_of(record));
    if (record->row.is_found && record->kind != STRIPE_PRICE)
        note_affected(record->report, record->kind, record->row.owner);
}

/* Writes a record of any kind but a customer, as its locked row requires. */
static void
write_record(const StripeBatch *batch, StripeRecord *record)
{
    StripeRow none;
    int attempts = 0;

    for (;;) {
        stripe_count_attempt(&attempts);
        stripe_read(batch, record, true, &record->row, &none);
        stripe_decide(batch, record);
        if (record->action != STRIPE_CREATED || stripe_insert(batch, record, NULL))
            break;
    }
    if (record->action == STRIPE_UPDATED)
        stripe_update(batch, record);
    else if (record->is_touch_due)
        stripe_touch(batch, record);
}

/* Writes a child. Its parent must be locked. */
static void
remove_record(const StripeRecord *record)
{
    if (!stripe_delete(record->kind, record->id, record->parent_id))
        return;
    stripe_report_action(record->report, record->kind, record->id, STRIPE_DELETED);
    note_affected(record->report, record->kind, record->parent_id);
}

/* ---- families: a parent and its children --------------------------------------------- */

/* The ids of the stored children that must be removed. */
static List *
removable_children(const StripeBatch *batch, const StripeRecord *parent)
{
    List *ids = NIL;
    ListCell *cell;

    if (!parent->is_list_complete || parent->row.list_time > batch->message_time)
        return NIL;
    foreach (cell, stripe_stored_children(batch, parent)) {
        char *id = lfirst(cell);

        if (stripe_find_record(batch, stripe_maps[parent->kind].child, id) == NULL)
            ids = lappend(ids, id);
    }
    return ids;
}

static void
add_removals(StripeBatch *batch, const StripeRecord *parent)
{
    ListCell *cell;

    foreach (cell, removable_children(batch, parent)) {
        StripeRecord *record = palloc0(sizeof(StripeRecord));

        record->kind = stripe_maps[parent->kind].child;
        record->purpose = STRIPE_REMOVE;
        record->report = parent->report;
        record->id = lfirst(cell);
        record->parent_id = parent->id;
        batch->removals = lappend(batch->removals, record);
    }
}

/* Locks a parent before its children are written, and writes it if it is a record to be written. */
static void
write_parent(StripeBatch *batch, StripeRecord *parent)
{
    StripeRow none;

    if (parent->purpose != STRIPE_LOCK) {
        write_record(batch, parent);
        note_done(parent);
        add_removals(batch, parent);
        return;
    }
    stripe_read(batch, parent, true, &parent->row, &none);
    if (!parent->row.is_found)
        ereport(ERROR, errcode(ERRCODE_CTMS_STRIPE_REFERENCE),
                errmsg("Stripe %s is not stored any more",
                       stripe_describe(stripe_maps[parent->kind].object, parent->id)));
}

/* ---- the batch ---------------------------------------------------------------------------- */

/*
 * Whether a record takes over what another record of the batch has stored so far: the FxA ID of a
 * customer, or an item of another parent. It then matters which of both is written first.
 */
static bool
is_taking_over(const StripeBatch *batch, const StripeRecord *record, const StripeRow *other)
{
    if (other->is_found)
        return stripe_find_record(batch, STRIPE_CUSTOMER, other->id) != NULL;
    return record->parent != NULL && record->row.is_found &&
           strcmp(record->row.owner, record->parent_id) != 0 &&
           stripe_find_record(batch, record->parent->kind, record->row.owner) != NULL;
}

/*
 * Reads all rows without locking them. Parents come first, because their times decide about
 * children. False when a list must be stored object by object.
 */
static bool
survey(StripeBatch *batch)
{
    int kind;
    int i;

    for (kind = 0; kind < STRIPE_KINDS; kind++) {
        for (i = 0; i < batch->counts[kind]; i++) {
            StripeRecord *record = batch->records[kind][i];
            StripeRow other;

            CHECK_FOR_INTERRUPTS();
            stripe_read(batch, record, false, &record->row, &other);
            if (batch->is_list && is_taking_over(batch, record, &other))
                return false;
            stripe_decide_customer(batch, record, &other);
            if (record->parent != NULL && !is_settled(record))
                record->parent->is_family_open = true;
        }
    }
    for (kind = 0; kind < STRIPE_KINDS; kind++) {
        if (stripe_maps[kind].child == STRIPE_NO_KIND)
            continue;
        for (i = 0; i < batch->counts[kind]; i++) {
            StripeRecord *parent = batch->records[kind][i];

            if (!is_settled(parent) || removable_children(batch, parent) != NIL)
                parent->is_family_open = true;
        }
    }
    return true;
}

/*
 * A record that needed no write in the survey may need one by now: a child whose parent was not
 * locked then, or a customer whose FxA ID another customer of the batch has taken since.
 */
static void
look_again(StripeBatch *batch, StripeRecord *record)
{
    bool is_open = record->kind == STRIPE_CUSTOMER
                       ? batch->counts[STRIPE_CUSTOMER] > 1
                       : record->parent != NULL && record->parent->is_family_open;
    StripeRow other;

    if (!is_open || !is_settled(record))
        return;
    stripe_read(batch, record, false, &record->row, &other);
    stripe_decide_customer(batch, record, &other);
}

/* Sorts the records of a kind into the order in which they are locked. */
static void
order_records(StripeBatch *batch, StripeKind kind)
{
    ListCell *cell;

    if (kind == STRIPE_CUSTOMER && batch->counts[kind] > 1)
        qsort(batch->records[kind], batch->counts[kind], sizeof(StripeRecord *),
              stripe_compare_claims);
    foreach (cell, batch->removals) {
        if (((StripeRecord *)lfirst(cell))->kind == kind)
            stripe_add_record(batch, lfirst(cell));
    }
    if (kind != STRIPE_CUSTOMER)
        stripe_sort_records(batch, kind);
}

static void
write_kind(StripeBatch *batch, StripeKind kind)
{
    int i;

    order_records(batch, kind);
    for (i = 0; i < batch->counts[kind]; i++) {
        StripeRecord *record = batch->records[kind][i];

        if (record->purpose == STRIPE_REMOVE) {
            remove_record(record);
            continue;
        }
        if (stripe_maps[kind].child != STRIPE_NO_KIND && record->is_family_open) {
            write_parent(batch, record);
            continue;
        }
        if (record->purpose == STRIPE_LOCK)
            continue;
        look_again(batch, record);
        if (kind == STRIPE_CUSTOMER && !is_settled(record))
            stripe_write_customer(batch, record);
        else if (!is_settled(record))
            write_record(batch, record);
        note_done(record);
    }
}

/* Objects of types that are not stored, previews, and deleted prices. */
static void
report_unstored(const StripeBatch *batch)
{
    ListCell *cell;

    foreach (cell, batch->objects) {
        StripeObject *object = lfirst(cell);
        StripeKind kind;

        if (object->problem != NULL || object->records != NIL)
            continue;
        kind = stripe_kind_of(object->type);
        stripe_report_skip(object->report, object->skip,
                           kind == STRIPE_NO_KIND ? object->type : stripe_maps[kind].object,
                           object->id);
    }
}

bool
stripe_store(StripeBatch *batch)
{
    int kind;

    report_unstored(batch);
    stripe_gather_records(batch);
    if (!survey(batch))
        return false;
    for (kind = 0; kind < STRIPE_KINDS; kind++)
        write_kind(batch, kind);
    return true;
}
