/*
 * queue/stripe.c: finds the contacts of Stripe's rows.
 *
 * A Stripe row leads to its contact by the FxA ID of its customer. Stripe's rows arrive in any
 * order, several at a time. So a subscription and its customer may be committed at the same time.
 * Then neither transaction sees the other; the one with the customer enqueues the contact; and an
 * agent may send the contact before it can see the subscription. Therefore keys that lead to no
 * contact are left for the next claim (queue/left.c).
 *
 * A transaction that connects a contact later enqueues it itself. The key of a price is always
 * left, because other transactions may be about to commit subscriptions to it, whose contacts
 * were sent with the old price. Keys are left together with the lane of the transaction, and a
 * price is a wave whoever changed it.
 *
 * Claims also enqueue contacts that were left because another session had locked them
 * (queue/enqueue.c).
 */
#include "extension/base/compat.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"

#include "extension/base/subtransaction.h"
#include "extension/queue/enqueue.h"
#include "extension/queue/feed.h"
#include "extension/queue/give_way.h"
#include "extension/queue/left.h"
#include "extension/queue/plan.h"
#include "extension/queue/stripe.h"

/* The most keys that one claim takes. */
#define LEFT_KEYS 1000

StaticAssertDecl(FEED_STRIPE_KINDS == 5, "the statement below knows five kinds of keys");

/* One contact, or null, for each key; for a price, all contacts that subscribe to it. */
static QueuePlan resolve_plan = {
    .sql = "SELECT (SELECT f.email_id::uuid FROM ctms.fxa AS f WHERE f.fxa_id = k), 0, k"
           " FROM unnest($1) AS k"
           " UNION ALL "
           "SELECT (SELECT f.email_id::uuid FROM ctms.stripe_customer AS c"
           "  JOIN ctms.fxa AS f ON f.fxa_id = c.fxa_id WHERE c.stripe_id = k), 1, k"
           " FROM unnest($2) AS k"
           " UNION ALL "
           "SELECT (SELECT f.email_id::uuid FROM ctms.stripe_subscription AS s"
           "  JOIN ctms.stripe_customer AS c ON c.stripe_id = s.stripe_customer_id"
           "  JOIN ctms.fxa AS f ON f.fxa_id = c.fxa_id WHERE s.stripe_id = k), 2, k"
           " FROM unnest($3) AS k"
           " UNION ALL "
           "SELECT f.email_id::uuid, 3, k FROM unnest($4) AS k"
           "  JOIN ctms.stripe_subscription_item AS i ON i.stripe_price_id = k"
           "  JOIN ctms.stripe_subscription AS s ON s.stripe_id = i.stripe_subscription_id"
           "  JOIN ctms.stripe_customer AS c ON c.stripe_id = s.stripe_customer_id"
           "  JOIN ctms.fxa AS f ON f.fxa_id = c.fxa_id"
           " UNION ALL "
           "SELECT (SELECT f.email_id::uuid FROM ctms.stripe_invoice AS i"
           "  JOIN ctms.stripe_customer AS c ON c.stripe_id = i.stripe_customer_id"
           "  JOIN ctms.fxa AS f ON f.fxa_id = c.fxa_id WHERE i.stripe_id = k), 4, k"
           " FROM unnest($5) AS k",
    .arg_count = FEED_STRIPE_KINDS,
    .arg_types = {TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID},
    .sees_latest = true};

static QueuePlan take_plan = {
    .sql = "WITH taken AS MATERIALIZED ("
           " SELECT kind, key FROM ctms.stripe_unresolved WHERE kind <> 'contact'"
           " ORDER BY kind, key LIMIT $1 FOR UPDATE SKIP LOCKED)"
           "DELETE FROM ctms.stripe_unresolved AS u USING taken"
           " WHERE u.kind = taken.kind AND u.key = taken.key"
           " RETURNING u.kind::text, u.key::text, u.is_bulk::boolean",
    .arg_count = 1,
    .arg_types = {INT8OID}};

/* Contacts that were locked by another session when a change of theirs was committed. */
static QueuePlan take_contacts_plan = {
    .sql = "SELECT key::uuid, is_bulk::boolean FROM ctms.stripe_unresolved WHERE kind = 'contact'"
           "  AND key ~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'"
           " ORDER BY key LIMIT $1 FOR UPDATE SKIP LOCKED",
    .arg_count = 1,
    .arg_types = {INT8OID}};

static QueuePlan remove_contacts_plan = {
    .sql = "DELETE FROM ctms.stripe_unresolved WHERE kind = 'contact'"
           "  AND key = ANY ($1::text[]) AND key <> ALL ($2::text[])",
    .arg_count = 2,
    .arg_types = {UUIDARRAYOID, UUIDARRAYOID}};

static QueuePlan has_left_plan = {.sql =
                                      "SELECT count(*) FILTER (WHERE kind <> 'contact'), count(*)"
                                      " FROM (SELECT kind FROM ctms.stripe_unresolved ORDER BY "
                                      "kind DESC, key LIMIT 1) AS any_key"};

/* What keys lead to: "live" and "bulk" are contacts in no order, and "left" the keys without one.
 */
typedef struct Found {
    FeedKeys live;
    FeedKeys bulk;
    LeftKeys left;
} Found;

static Datum
text_array(Datum *elements, int count)
{
    return PointerGetDatum(construct_array(elements, count, TEXTOID, -1, false, TYPALIGN_INT));
}

/* Adds what the keys lead to, in the memory context "result". */
static void
resolve(Datum *keys, bool is_bulk, bool is_price_bulk, Found *found, MemoryContext result)
{
    uint64 count = queue_run_plan(&resolve_plan, keys, NULL, SPI_OK_SELECT);
    MemoryContext procedure = MemoryContextSwitchTo(result);

    for (uint64 i = 0; i < count; i++) {
        HeapTuple row = SPI_tuptable->vals[i];
        TupleDesc desc = SPI_tuptable->tupdesc;
        bool is_null, is_nobody;
        Datum email_id = SPI_getbinval(row, desc, 1, &is_nobody);
        FeedKind kind = FEED_FIRST_STRIPE + DatumGetInt32(SPI_getbinval(row, desc, 2, &is_null));
        bool waits_in_bulk = kind == FEED_PRICE ? is_price_bulk : is_bulk;

        if (is_nobody)
            left_add(&found->left, kind,
                     PointerGetDatum(PG_DETOAST_DATUM_COPY(SPI_getbinval(row, desc, 3, &is_null))),
                     waits_in_bulk);
        else
            feed_keys_add(waits_in_bulk ? &found->bulk : &found->live, DatumGetUUIDP(email_id));
    }
    MemoryContextSwitchTo(procedure);
}

void
queue_resolve_stripe_keys(StripeChange *change)
{
    FeedKeys keys[FEED_STRIPE_KINDS];
    Datum args[FEED_STRIPE_KINDS];
    const FeedKeys *prices = &keys[FEED_PRICE - FEED_FIRST_STRIPE];
    MemoryContext caller = CurrentMemoryContext;
    Found found = {0};
    bool is_any = false;
    QueueOwner saved;

    *change = (StripeChange){0};
    for (int i = 0; i < FEED_STRIPE_KINDS; i++) {
        feed_take_all(FEED_FIRST_STRIPE + i, &keys[i]);
        is_any = is_any || keys[i].count > 0;
    }
    if (!is_any)
        return;

    queue_start_sql(&saved);
    for (int i = 0; i < FEED_STRIPE_KINDS; i++)
        args[i] = PointerGetDatum(feed_take(&keys[i], INT_MAX));
    resolve(args, false, lane_is_price_bulk(), &found, caller);
    queue_end_sql(&saved);
    for (int64 i = 0; i < found.live.count; i++)
        feed_add(FEED_CONTACT, UUIDPGetDatum((pg_uuid_t *)found.live.keys + i));
    for (int64 i = 0; i < prices->count; i++)
        left_add(&found.left, FEED_PRICE, PointerGetDatum(((text **)prices->keys)[i]),
                 lane_is_price_bulk());
    feed_keys_sort(&found.bulk);
    change->priced = found.bulk;
    change->left = found.left;
}

/* Sorts the keys of one lane that were taken into one array for each kind; returns how many. */
static int
sort_keys(uint64 count, bool is_bulk, Datum *args)
{
    int all = 0;

    for (int kind = 0; kind < FEED_STRIPE_KINDS; kind++) {
        Datum *keys = palloc(Max(count, 1) * sizeof(Datum));
        int kept = 0;

        for (uint64 i = 0; i < count; i++) {
            HeapTuple row = SPI_tuptable->vals[i];
            TupleDesc desc = SPI_tuptable->tupdesc;
            bool is_null;
            char *name = SPI_getvalue(row, desc, 1);

            if (name && strcmp(name, feed_kind_name(FEED_FIRST_STRIPE + kind)) == 0 &&
                DatumGetBool(SPI_getbinval(row, desc, 3, &is_null)) == is_bulk)
                keys[kept++] = SPI_getbinval(row, desc, 2, &is_null);
        }
        args[kind] = text_array(keys, kept);
        all += kept;
    }
    return all;
}

/* All contacts that were found, and the lane of each; what is in both lanes is live. */
static void
choose_lanes(Found *found, FeedKeys *contacts, Lane *lane)
{
    feed_keys_sort(&found->live);
    feed_keys_unite(contacts, &found->live, &found->bulk);
    *lane = (Lane){.is_bulk = true, .live = &found->live};
}

/*
 * Takes keys of Stripe that were left and enqueues their contacts. The feed is not used here: it is
 * for the changes of this transaction.
 */
static void
resolve_left_stripe(void)
{
    Datum args[2][FEED_STRIPE_KINDS];
    int counts[2];
    Found found = {0};
    FeedKeys contacts;
    Lane lane;
    uint64 taken = queue_run_plan(&take_plan, (Datum[]){Int64GetDatum(LEFT_KEYS)}, NULL,
                                  SPI_OK_DELETE_RETURNING);

    for (int is_bulk = 0; is_bulk < 2; is_bulk++)
        counts[is_bulk] = sort_keys(taken, is_bulk, args[is_bulk]);
    for (int is_bulk = 0; is_bulk < 2; is_bulk++)
        if (counts[is_bulk] > 0)
            resolve(args[is_bulk], is_bulk, is_bulk, &found, CurrentMemoryContext);
    choose_lanes(&found, &contacts, &lane);
    if (contacts.count > 0)
        enqueue_contacts(&contacts, &lane);
}

/* Enqueues contacts that were left, except those that are still locked, which stay. */
static void
resolve_left_contacts(void)
{
    Found found = {0};
    FeedKeys contacts, taken, busy;
    Lane lane;
    Datum args[2];
    uint64 count = queue_run_plan(&take_contacts_plan, (Datum[]){Int64GetDatum(LEFT_KEYS)}, NULL,
                                  SPI_OK_SELECT);

    if (count == 0)
        return;
    for (uint64 i = 0; i < count; i++) {
        HeapTuple row = SPI_tuptable->vals[i];
        TupleDesc desc = SPI_tuptable->tupdesc;
        bool is_null;
        Datum email_id = SPI_getbinval(row, desc, 1, &is_null);
        bool is_bulk = DatumGetBool(SPI_getbinval(row, desc, 2, &is_null));

        feed_keys_add(is_bulk ? &found.bulk : &found.live, DatumGetUUIDP(email_id));
    }
    choose_lanes(&found, &contacts, &lane);
    taken = contacts;
    args[0] = PointerGetDatum(feed_take(&taken, INT_MAX));
    enqueue_hold(&contacts, &busy);
    args[1] = PointerGetDatum(feed_take(&busy, INT_MAX));
    queue_run_plan(&remove_contacts_plan, args, NULL, SPI_OK_DELETE);
    enqueue_held(&contacts, &lane);
}

static bool
resolve_left_keys(void *arg)
{
    QueueOwner saved;
    int level = give_way_limit_waits();

    queue_start_sql(&saved);
    resolve_left_stripe();
    resolve_left_contacts();
    queue_end_sql(&saved);
    AtEOXact_GUC(true, level);
    return true;
}

static bool
has_left_keys(int column)
{
    QueueOwner saved;
    bool is_null;
    int64 count;

    queue_start_sql(&saved);
    queue_run_plan(&has_left_plan, NULL, NULL, SPI_OK_SELECT);
    count = DatumGetInt64(
        SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, &is_null));
    queue_end_sql(&saved);
    return count > 0;
}

bool
queue_has_left_stripe_keys(void)
{
    return has_left_keys(1);
}

/*
 * Whoever leaves a key again waits for the claim that has taken it. So the claim waits for their
 * contacts and queue rows only for a moment. What it does not get then is for the next claim.
 */
void
queue_resolve_left_keys(void)
{
    static const int forgiven[] = {ERRCODE_LOCK_NOT_AVAILABLE, 0};

    if (has_left_keys(2))
        subtransaction_try(resolve_left_keys, NULL, forgiven);
}
