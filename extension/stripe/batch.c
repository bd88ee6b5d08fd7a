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

/* A row that objects of the batch store or need. */
typedef struct NeededRow {
    StripeRowKey key;
    int providers; /* records of the batch that store it */
    bool is_asked;
    bool is_stored; /* if is_asked */
} NeededRow;

static NeededRow *
find_row(HTAB *rows, StripeKind kind, const char *id)
{
    StripeRowKey key = {kind, id};
    bool is_known;
    NeededRow *row = hash_search(rows, &key, HASH_ENTER, &is_known);

    if (!is_known) {
        row->providers = 0;
        row->is_asked = false;
    }
    return row;
}

static void
count_providers(HTAB *rows, const StripeObject *object, int change)
{
    ListCell *cell;

    foreach (cell, object->records) {
        const StripeRecord *record = lfirst(cell);

        find_row(rows, record->kind, record->id)->providers += change;
    }
}

static bool
is_there(HTAB *rows, const StripeNeed *need)
{
    NeededRow *row = find_row(rows, need->kind, need->id);

    if (row->providers > 0)
        return true;
    if (!row->is_asked) {
        row->is_stored = stripe_is_stored(need->kind, need->id);
        row->is_asked = true;
    }
    return row->is_stored;
}

/*
 * Notes a problem when the object refers to something that is neither stored nor in the same
 * batch. Returns false then.
 */
static bool
check_needs(HTAB *rows, StripeObject *object)
{
    ListCell *cell;

    foreach (cell, object->needs) {
        const StripeNeed *need = lfirst(cell);

        CHECK_FOR_INTERRUPTS();
        if (is_there(rows, need))
            continue;
        object->problem = stripe_problem(ERRCODE_CTMS_STRIPE_REFERENCE,
                                         "Stripe %s needs %s, which is not stored yet",
                                         stripe_describe(object->type, object->id),
                                         stripe_describe(stripe_maps[need->kind].object, need->id));
        count_providers(rows, object, -1);
        return false;
    }
    return true;
}

/* Returns NULL if no object needs anything. */
static HTAB *
gather_rows(const StripeBatch *batch)
{
    HTAB *rows;
    ListCell *cell;

    foreach (cell, batch->objects) {
        const StripeObject *object = lfirst(cell);

        if (object->problem == NULL && object->needs != NIL)
            break;
    }
    if (cell == NULL)
        return NULL;
    rows = stripe_create_row_table(sizeof(NeededRow));
    foreach (cell, batch->objects) {
        const StripeObject *object = lfirst(cell);

        if (object->problem == NULL)
            count_providers(rows, object, 1);
    }
    return rows;
}

/*
 * An object that fails may be one that another object needs, so this repeats until no more
 * objects fail; forward and backward in turn, because a message may have them in either order.
 */
void
stripe_check_needs(const StripeBatch *batch)
{
    HTAB *rows = gather_rows(batch);
    int count = list_length(batch->objects);
    bool is_settled = rows == NULL;
    bool is_backward = false;
    int i;

    while (!is_settled) {
        is_settled = true;
        for (i = 0; i < count; i++) {
            StripeObject *object = list_nth(batch->objects, is_backward ? count - 1 - i : i);

            if (object->problem == NULL && !check_needs(rows, object))
                is_settled = false;
        }
        is_backward = !is_backward;
    }
    if (rows != NULL)
        hash_destroy(rows);
}
