/*
 * stripe/segment.c: which Stripe products a contact has, and the segment of each.
 *
 * Owns ctms.product_segment(), the pure rule, and the two functions that list products:
 * ctms._product_subscriptions(uuid[]) for many contacts (the queue sends its rows to
 * Acoustic) and ctms.product_subscriptions(uuid) for one. Nothing is stored: products are
 * always those of the Stripe tables as they are now.
 */
#include "extension/base/compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "extension/base/result_row.h"

/* In the order of the enum. A contact that has several items of a product gets a "re-…" segment. */
typedef struct Segment {
    const char *label;
    const char *repeated_label;
} Segment;

static const Segment SEGMENT_ACTIVE = {"active", "re-active"};
static const Segment SEGMENT_CANCELLING = {"cancelling", "re-cancelling"};
static const Segment SEGMENT_CANCELED = {"canceled", "re-canceled"};
static const Segment SEGMENT_OTHER = {"other", "other"};

/* Columns that both listing functions return, email_id first, and those of the query. */
enum {
    OUT_EMAIL_ID,
    OUT_PAYMENT_SERVICE,
    OUT_PRODUCT_ID,
    OUT_PRODUCT_NAME,
    OUT_SEGMENT,
    OUT_CHANGED,
    OUT_SUB_COUNT,
    OUT_PRICE_ID,
    OUT_PAYMENT_TYPE,
    OUT_CARD_BRAND,
    OUT_CARD_LAST4,
    OUT_BILLING_COUNTRY,
    OUT_CURRENCY,
    OUT_AMOUNT,
    OUT_INTERVAL_COUNT,
    OUT_INTERVAL,
    OUT_STATUS,
    OUT_CREATED,
    OUT_START,
    OUT_CURRENT_PERIOD_START,
    OUT_CURRENT_PERIOD_END,
    OUT_CANCELED_AT,
    OUT_CANCEL_AT_PERIOD_END,
    OUT_ENDED_AT,
    OUT_COLUMNS
};

/*
 * One row for each contact and product: the latest item, and how many items there are. The query
 * already has the shape of the result; segment and changed are filled in here.
 */
static const char LATEST_ITEMS[] =
    "SELECT DISTINCT ON (f.email_id, p.stripe_product_id COLLATE \"C\")"
    " f.email_id::uuid, 'stripe'::text, p.stripe_product_id::text, NULL::text, NULL::text,"
    " NULL::timestamptz, count(*) OVER (PARTITION BY f.email_id, p.stripe_product_id COLLATE "
    "\"C\"),"
    " p.stripe_id::text, NULL::text, NULL::text, NULL::text, NULL::text, p.currency::text,"
    " p.unit_amount::bigint, p.recurring_interval_count::integer, p.recurring_interval::text,"
    " s.status::text, s.stripe_created::timestamptz, s.start_date::timestamptz,"
    " s.current_period_start::timestamptz, s.current_period_end::timestamptz,"
    " s.canceled_at::timestamptz, s.cancel_at_period_end::boolean, s.ended_at::timestamptz"
    " FROM ctms.fxa f"
    " JOIN ctms.stripe_customer c ON c.fxa_id = f.fxa_id"
    " JOIN ctms.stripe_subscription s ON s.stripe_customer_id = c.stripe_id"
    " JOIN ctms.stripe_subscription_item i ON i.stripe_subscription_id = s.stripe_id"
    " JOIN ctms.stripe_price p ON p.stripe_id = i.stripe_price_id"
    " WHERE f.email_id = ANY ($1) AND NOT i.deleted::boolean"
    " ORDER BY f.email_id, p.stripe_product_id COLLATE \"C\", s.current_period_end DESC,"
    " s.start_date DESC, s.stripe_id COLLATE \"C\" DESC, i.stripe_id COLLATE \"C\" DESC";

#define FETCH_ROWS 1000

static const Segment *
segment_of(const char *status, bool is_cancel_time_known)
{
    if (strcmp(status, "active") == 0)
        return is_cancel_time_known ? &SEGMENT_CANCELLING : &SEGMENT_ACTIVE;
    if (strcmp(status, "canceled") == 0)
        return &SEGMENT_CANCELED;
    return &SEGMENT_OTHER;
}

/*
 * The column that says since when a subscription has been in the segment; any of them may be
 * null.
 */
static int
changed_column(const Segment *segment)
{
    if (segment == &SEGMENT_ACTIVE)
        return OUT_START;
    if (segment == &SEGMENT_CANCELLING)
        return OUT_CANCELED_AT;
    if (segment == &SEGMENT_CANCELED)
        return OUT_ENDED_AT;
    return OUT_CREATED;
}

static Datum
segment_datum(const Segment *segment, int64 sub_count, Oid enum_type)
{
    const char *label = sub_count > 1 ? segment->repeated_label : segment->label;

    return DirectFunctionCall2(enum_in, CStringGetDatum(label), ObjectIdGetDatum(enum_type));
}

PG_FUNCTION_INFO_V1(ctms_product_segment);
/*
 * ctms.product_segment(status, canceled_at, sub_count): a null status counts as an unknown one,
 * and a null count as 1.
 */
PGDLLEXPORT Datum
ctms_product_segment(PG_FUNCTION_ARGS)
{
    const Segment *segment = &SEGMENT_OTHER;
    int64 sub_count = PG_ARGISNULL(2) ? 1 : PG_GETARG_INT64(2);

    if (!PG_ARGISNULL(0))
        segment = segment_of(text_to_cstring(PG_GETARG_TEXT_PP(0)), !PG_ARGISNULL(1));
    PG_RETURN_DATUM(segment_datum(segment, sub_count, get_func_rettype(fcinfo->flinfo->fn_oid)));
}

/* Adds one row of the query to the result. Leaves out its first column when asked to. */
static void
put_product(ReturnSetInfo *result, HeapTuple row, TupleDesc row_desc, int first_column)
{
    Datum values[OUT_COLUMNS];
    bool is_null[OUT_COLUMNS];
    const Segment *segment;
    Oid enum_type = TupleDescAttr(result->setDesc, OUT_SEGMENT - first_column)->atttypid;
    int changed;

    heap_deform_tuple(row, row_desc, values, is_null);
    segment = is_null[OUT_STATUS]
                  ? &SEGMENT_OTHER
                  : segment_of(TextDatumGetCString(values[OUT_STATUS]), !is_null[OUT_CANCELED_AT]);
    values[OUT_SEGMENT] = segment_datum(segment, DatumGetInt64(values[OUT_SUB_COUNT]), enum_type);
    is_null[OUT_SEGMENT] = false;
    changed = changed_column(segment);
    if (is_null[changed])
        changed = OUT_CREATED;
    values[OUT_CHANGED] = values[changed];
    is_null[OUT_CHANGED] = is_null[changed];
    result_row_put(result, values + first_column, is_null + first_column,
                   OUT_COLUMNS - first_column);
}

static void
put_products(FunctionCallInfo fcinfo, Datum email_ids, int first_column)
{
    static SPIPlanPtr plan = NULL;
    ReturnSetInfo *result = (ReturnSetInfo *)fcinfo->resultinfo;
    Oid types[] = {UUIDARRAYOID};
    Portal portal;

    InitMaterializedSRF(fcinfo, 0);
    SPI_connect();
    if (plan == NULL) {
        SPIPlanPtr prepared = SPI_prepare(LATEST_ITEMS, lengthof(types), types);

        if (prepared == NULL || SPI_keepplan(prepared) != 0)
            elog(ERROR, "could not prepare the query of products");
        plan = prepared;
    }
    portal = SPI_cursor_open(NULL, plan, &email_ids, NULL, true);
    for (;;) {
        uint64 i;

        SPI_cursor_fetch(portal, true, FETCH_ROWS);
        if (SPI_processed == 0)
            break;
        for (i = 0; i < SPI_processed; i++) {
            CHECK_FOR_INTERRUPTS();
            put_product(result, SPI_tuptable->vals[i], SPI_tuptable->tupdesc, first_column);
        }
        SPI_freetuptable(SPI_tuptable);
    }
    SPI_cursor_close(portal);
    SPI_finish();
}

PG_FUNCTION_INFO_V1(ctms_product_subscriptions_of);
/* ctms._product_subscriptions(email_ids uuid[]) */
PGDLLEXPORT Datum
ctms_product_subscriptions_of(PG_FUNCTION_ARGS)
{
    put_products(fcinfo, PG_GETARG_DATUM(0), OUT_EMAIL_ID);
    return (Datum)0;
}

PG_FUNCTION_INFO_V1(ctms_product_subscriptions);
/* ctms.product_subscriptions(email_id uuid) */
PGDLLEXPORT Datum
ctms_product_subscriptions(PG_FUNCTION_ARGS)
{
    Datum email_id = PG_GETARG_DATUM(0);
    ArrayType *email_ids = construct_array(&email_id, 1, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR);

    put_products(fcinfo, PointerGetDatum(email_ids), OUT_PAYMENT_SERVICE);
    return (Datum)0;
}
