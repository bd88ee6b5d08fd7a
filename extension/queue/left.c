/*
 * queue/left.c: see left.h. They are left in ctms.stripe_unresolved, become visible to the next
 * claim with the commit, and that claim (queue/stripe.c) sees everything else that is committed by
 * then.
 */
#include "extension/base/compat.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "extension/queue/left.h"
#include "extension/queue/plan.h"

/*
 * If another transaction has left the same key before, its row is written again. Otherwise a
 * claim could take that row before this transaction commits, and the contact of what this
 * transaction commits would never be found. While the row is being written, a claim skips it.
 * What is live for one of them is live.
 */
static QueuePlan leave_plan = {
    .sql = "INSERT INTO ctms.stripe_unresolved AS u (kind, key, is_bulk)"
           " SELECT kind, key, is_bulk FROM unnest($1, $2, $3) AS left_keys (kind, key, is_bulk)"
           " ORDER BY kind, key"
           " ON CONFLICT (kind, key) DO UPDATE SET update_timestamp = EXCLUDED.update_timestamp,"
           "  is_bulk = u.is_bulk AND EXCLUDED.is_bulk",
    .arg_count = 3,
    .arg_types = {TEXTARRAYOID, TEXTARRAYOID, BOOLARRAYOID},
    .sees_latest = true,
    .is_retried = true};

void
left_add(LeftKeys *left, FeedKind kind, Datum key, bool is_bulk)
{
    if (left->count == left->capacity) {
        left->capacity = Max(16, 2 * left->capacity);
        left->kinds = left->kinds ? repalloc(left->kinds, left->capacity * sizeof(Datum))
                                  : palloc(left->capacity * sizeof(Datum));
        left->keys = left->keys ? repalloc(left->keys, left->capacity * sizeof(Datum))
                                : palloc(left->capacity * sizeof(Datum));
        left->are_bulk = left->are_bulk ? repalloc(left->are_bulk, left->capacity * sizeof(Datum))
                                        : palloc(left->capacity * sizeof(Datum));
    }
    left->are_bulk[left->count] = BoolGetDatum(is_bulk);
    left->kinds[left->count] = CStringGetTextDatum(feed_kind_name(kind));
    left->keys[left->count++] = key;
}

void
left_make_bulk(LeftKeys *left)
{
    for (int i = 0; i < left->count; i++)
        left->are_bulk[i] = BoolGetDatum(true);
}

static Datum
text_array(Datum *elements, int count)
{
    return PointerGetDatum(construct_array(elements, count, TEXTOID, -1, false, TYPALIGN_INT));
}

void
left_write(const LeftKeys *left)
{
    QueueOwner saved;

    if (left->count == 0)
        return;
    queue_start_sql(&saved);
    queue_run_plan(&leave_plan,
                   (Datum[]){text_array(left->kinds, left->count),
                             text_array(left->keys, left->count),
                             PointerGetDatum(construct_array(left->are_bulk, left->count, BOOLOID,
                                                             1, true, TYPALIGN_CHAR))},
                   NULL, SPI_OK_INSERT);
    queue_end_sql(&saved);
}
