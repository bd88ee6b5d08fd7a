/*
 * stripe/batch.c: the records of a batch, sorted by kind and id, with children linked to their
 * parents. It also checks whether everything that the objects refer to exists.
 */
#include "extension/stripe/stripe.h"

#include "extension/base/errors.h"
#include "miscadmin.h"

int
stripe_compare_records(const void *left, const void *right)
{
    const StripeRecord *a = *(StripeRecord *const *)left;
    const StripeRecord *b = *(StripeRecord *const *)right;
    int result = strcmp(a->id, b->id);

    return result != 0 ? result : (a->sequence > b->sequence) - (a->sequence < b->sequence);
}

static int
compare_to_id(const void *id, const void *record)
{
    return strcmp(id, (*(StripeRecord *const *)record)->id);
}

StripeRecord *
stripe_find_record(const StripeBatch *batch, StripeKind kind, const char *id)
{
    StripeRecord **found = NULL;

    if (batch->counts[kind] > 0)
        found = bsearch(id, batch->records[kind], batch->counts[kind], sizeof(StripeRecord *),
                        compare_to_id);
    return found == NULL ? NULL : *found;
}

/*
 * Sorts by id. Of several records with the same id, only the last one is kept. In a list, that of
 * another object is a price that is stored with the same content by then.
 */
void
stripe_sort_records(StripeBatch *batch, StripeKind kind)
{
    StripeRecord **records = batch->records[kind];
    int kept = 0;
    int i;

    if (batch->counts[kind] == 0)
        return;
    qsort(records, batch->counts[kind], sizeof(StripeRecord *), stripe_compare_records);
    for (i = 1; i < batch->counts[kind]; i++) {
        if (strcmp(records[kept]->id, records[i]->id) != 0)
            records[++kept] = records[i];
        else if (records[kept]->report == records[i]->report)
            records[kept] = records[i];
        else
            stripe_report_action(records[i]->report, kind, records[i]->id, STRIPE_NO_CHANGE);
    }
    batch->counts[kind] = kept + 1;
}

void
stripe_add_record(StripeBatch *batch, StripeRecord *record)
{
    int count = batch->counts[record->kind]++;
    StripeRecord **records = batch->records[record->kind];

    if (count == 0)
        records = palloc(8 * sizeof(StripeRecord *));
    else if (count >= 8 && (count & (count - 1)) == 0)
        records = repalloc_huge(records, 2 * sizeof(StripeRecord *) * count);
    records[count] = record;
    batch->records[record->kind] = records;
}

/*
 * Links children to their parents. If an item came without its parent, the parent is only locked. A
 * deleted item does not tell its parent; the lock of its own row is enough to mark it.
 */
static void
link_children(StripeBatch *batch, StripeKind kind)
{
    StripeKind parent_kind = stripe_maps[kind].parent;
    List *missing = NIL;
    ListCell *cell;
    int i;

    for (i = 0; i < batch->counts[kind]; i++) {
        StripeRecord *child = batch->records[kind][i];

        if (child->parent_id != NULL &&
            stripe_find_record(batch, parent_kind, child->parent_id) == NULL)
            missing = lappend(missing, child);
    }
    foreach (cell, missing) {
        StripeRecord *parent = palloc0(sizeof(StripeRecord));

        parent->kind = parent_kind;
        parent->purpose = STRIPE_LOCK;
        parent->id = ((StripeRecord *)lfirst(cell))->parent_id;
        memset(parent->nulls, 'n', sizeof(parent->nulls));
        stripe_add_record(batch, parent);
    }
    stripe_sort_records(batch, parent_kind);
    for (i = 0; i < batch->counts[kind]; i++) {
        StripeRecord *child = batch->records[kind][i];

        if (child->parent_id != NULL)
            child->parent = stripe_find_record(batch, parent_kind, child->parent_id);
    }
}

void
stripe_gather_records(StripeBatch *batch)
{
    ListCell *object_cell;
    ListCell *cell;
    int kind;

    foreach (object_cell, batch->objects) {
        StripeObject *object = lfirst(object_cell);

        if (object->problem != NULL)
            continue;
        foreach (cell, object->records) {
            StripeRecord *record = lfirst(cell);

            record->report = object->report;
            stripe_add_record(batch, record);
        }
    }
    for (kind = 0; kind < STRIPE_KINDS; kind++)
        stripe_sort_records(batch, kind);
    for (kind = 0; kind < STRIPE_KINDS; kind++) {
        if (stripe_maps[kind].parent != STRIPE_NO_KIND)
            link_children(batch, kind);
    }
}

/* ---- needs ---------------------------------------------------------------------------- */

static bool
is_in_batch(const StripeBatch *batch, const StripeNeed *need)
{
    ListCell *object_cell;
    ListCell *cell;

    foreach (object_cell, batch->objects) {
        StripeObject *object = lfirst(object_cell);

        if (object->problem != NULL)
            continue;
        foreach (cell, object->records) {
            StripeRecord *record = lfirst(cell);

            if (record->kind == need->kind && strcmp(record->id, need->id) == 0)
                return true;
        }
    }
    return false;
}

/*
 * Notes a problem when the object refers to something that is neither stored nor in the same
 * batch. Returns false then.
 */
static bool
check_needs(const StripeBatch *batch, StripeObject *object)
{
    ListCell *cell;

    foreach (cell, object->needs) {
        StripeNeed *need = lfirst(cell);

        CHECK_FOR_INTERRUPTS();
        if (stripe_is_stored(need->kind, need->id) || is_in_batch(batch, need))
            continue;
        object->problem = stripe_problem(ERRCODE_CTMS_STRIPE_REFERENCE,
                                         "Stripe %s needs %s, which is not stored yet",
                                         stripe_describe(object->type, object->id),
                                         stripe_describe(stripe_maps[need->kind].object, need->id));
        return false;
    }
    return true;
}

/*
 * An object that fails may be one that another object needs, so this repeats until no more
 * objects fail.
 */
void
stripe_check_needs(const StripeBatch *batch)
{
    bool is_settled;

    do {
        ListCell *cell;

        is_settled = true;
        foreach (cell, batch->objects) {
            StripeObject *object = lfirst(cell);

            if (object->problem == NULL && !check_needs(batch, object))
                is_settled = false;
        }
    } while (!is_settled);
}
