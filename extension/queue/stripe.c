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
 * were sent with the old price.
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
           " SELECT kind, key FROM ctms.unresolved_stripe WHERE kind <> 'contact'"
           " ORDER BY kind, key LIMIT $1 FOR UPDATE SKIP LOCKED)"
           "DELETE FROM ctms.unresolved_stripe AS u USING taken"
           " WHERE u.kind = taken.kind AND u.key = taken.key RETURNING u.kind::text, u.key::text",
    .arg_count = 1,
    .arg_types = {INT8OID}};

/* Contacts that were locked by another session when a change of theirs was committed. */
static QueuePlan take_contacts_plan = {
    .sql = "SELECT key::uuid FROM ctms.unresolved_stripe WHERE kind = 'contact'"
           "  AND key ~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'"
           " ORDER BY key LIMIT $1 FOR UPDATE SKIP LOCKED",
    .arg_count = 1,
    .arg_types = {INT8OID}};

static QueuePlan remove_contacts_plan = {
    .sql = "DELETE FROM ctms.unresolved_stripe WHERE kind = 'contact'"
           "  AND key = ANY ($1::text[]) AND key <> ALL ($2::text[])",
    .arg_count = 2,
    .arg_types = {UUIDARRAYOID, UUIDARRAYOID}};

static QueuePlan has_left_plan = {.sql =
                                      "SELECT count(*) FILTER (WHERE kind <> 'contact'), count(*)"
                                      " FROM (SELECT kind FROM ctms.unresolved_stripe ORDER BY "
                                      "kind DESC, key LIMIT 1) AS any_key"};

/* Is called with each contact. */
typedef void (*TakeContact)(Datum email_id, void *arg);

static Datum
text_array(Datum *elements, int count)
{
    return PointerGetDatum(construct_array(elements, count, TEXTOID, -1, false, TYPALIGN_INT));
}

/* Passes on the contacts, and collects the keys that have none. */
static void
resolve(Datum *keys, LeftKeys *left, TakeContact take, void *arg)
{
    uint64 count = queue_run_plan(&resolve_plan, keys, NULL, SPI_OK_SELECT);

    for (uint64 i = 0; i < count; i++) {
        HeapTuple row = SPI_tuptable->vals[i];
        TupleDesc desc = SPI_tuptable->tupdesc;
        bool is_null, is_nobody;
        Datum email_id = SPI_getbinval(row, desc, 1, &is_nobody);

        if (is_nobody)
            left_add(left, FEED_FIRST_STRIPE + DatumGetInt32(SPI_getbinval(row, desc, 2, &is_null)),
                     SPI_getbinval(row, desc, 3, &is_null));
        else
            take(email_id, arg);
    }
}

static void
add_to_feed(Datum email_id, void *arg)
{
    feed_add(FEED_CONTACT, email_id);
}

static void
add_to_array(Datum email_id, void *arg)
{
    ArrayBuildState **contacts = arg;

    *contacts = accumArrayResult(*contacts, email_id, false, UUIDOID, CurrentMemoryContext);
}

bool
queue_resolve_stripe_keys(void)
{
    FeedKeys keys[FEED_STRIPE_KINDS];
    Datum args[FEED_STRIPE_KINDS];
    LeftKeys left = {0};
    bool is_any = false;
    QueueOwner saved;

    for (int i = 0; i < FEED_STRIPE_KINDS; i++) {
        feed_take_all(FEED_FIRST_STRIPE + i, &keys[i]);
        is_any = is_any || keys[i].count > 0;
    }
    if (!is_any)
        return false;

    queue_start_sql(&saved);
    for (int i = 0; i < FEED_STRIPE_KINDS; i++)
        args[i] = PointerGetDatum(feed_take(&keys[i], INT_MAX));
    resolve(args, &left, add_to_feed, NULL);
    for (int64 i = 0; i < keys[FEED_PRICE - FEED_FIRST_STRIPE].count; i++)
        left_add(&left, FEED_PRICE,
                 PointerGetDatum(((text **)keys[FEED_PRICE - FEED_FIRST_STRIPE].keys)[i]));
    left_write(&left);
    queue_end_sql(&saved);
    return left.count > 0;
}

/* Sorts the keys that were taken into one array for each kind. */
static void
sort_keys(uint64 count, Datum *args)
{
    for (int kind = 0; kind < FEED_STRIPE_KINDS; kind++) {
        Datum *keys = palloc(Max(count, 1) * sizeof(Datum));
        int kept = 0;

        for (uint64 i = 0; i < count; i++) {
            bool is_null;
            char *name = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);

            if (name && strcmp(name, feed_kind_name(FEED_FIRST_STRIPE + kind)) == 0)
                keys[kept++] =
                    SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2, &is_null);
        }
        args[kind] = text_array(keys, kept);
    }
}

/* Takes keys of Stripe that were left and enqueues their contacts. */
static void
resolve_left_stripe(void)
{
    Datum args[FEED_STRIPE_KINDS];
    LeftKeys nobody = {0};
    ArrayBuildState *contacts = NULL;
    FeedKeys found;
    uint64 taken = queue_run_plan(&take_plan, (Datum[]){Int64GetDatum(LEFT_KEYS)}, NULL,
                                  SPI_OK_DELETE_RETURNING);

    if (taken > 0) {
        sort_keys(taken, args);
        resolve(args, &nobody, add_to_array, &contacts);
    }
    /* The feed is not used here: it is for the changes of this transaction. */
    if (contacts) {
        feed_keys_from_array(DatumGetArrayTypeP(makeArrayResult(contacts, CurrentMemoryContext)),
                             &found);
        enqueue_contacts(&found);
    }
}

/* Enqueues contacts that were left, except those that are still locked, which stay. */
static void
resolve_left_contacts(void)
{
    ArrayBuildState *left = NULL;
    FeedKeys contacts, busy;
    Datum args[2];
    uint64 count = queue_run_plan(&take_contacts_plan, (Datum[]){Int64GetDatum(LEFT_KEYS)}, NULL,
                                  SPI_OK_SELECT);
    bool is_null;

    if (count == 0)
        return;
    for (uint64 i = 0; i < count; i++)
        add_to_array(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &is_null),
                     &left);
    args[0] = makeArrayResult(left, CurrentMemoryContext);
    feed_keys_from_array(DatumGetArrayTypeP(args[0]), &contacts);
    enqueue_hold(&contacts, &busy);
    args[1] = PointerGetDatum(feed_take(&busy, INT_MAX));
    queue_run_plan(&remove_contacts_plan, args, NULL, SPI_OK_DELETE);
    enqueue_held(&contacts);
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
    static const int forgiven = ERRCODE_LOCK_NOT_AVAILABLE;

    if (has_left_keys(2))
        subtransaction_try(resolve_left_keys, NULL, &forgiven);
}
