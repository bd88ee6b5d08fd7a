/*
 * acoustic/source.c: reads what is rendered, with one statement for each kind of row.
 *
 * The statements are ordered by contact only, so that an index alone gives their order. The few
 * rows of a contact are sorted here.
 */
#include "extension/base/compat.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "extension/acoustic/source.h"
#include "extension/queue/plan.h"

/*
 * The columns have the names that Acoustic uses; those that begin with "_" are for this file
 * only. The first column of each statement is the contact. The casts change nothing unless
 * somebody has changed the type of a column.
 */
static QueuePlan main_plan = {
    .sql = "SELECT e.email_id::uuid, a.email_id IS NOT NULL AS _has_amo,"
           " f.email_id IS NOT NULL AS _has_fxa,"
           " e.primary_email::text AS email, e.basket_token::text, e.sfdc_id::text,"
           " e.first_name::text, e.last_name::text, e.mailing_country::text, e.email_format::text,"
           " e.email_lang::text, e.double_opt_in::boolean, e.has_opted_out_of_email::boolean,"
           " e.unsubscribe_reason::text, e.create_timestamp::timestamptz,"
           " e.update_timestamp::timestamptz,"
           " a.add_on_ids::text AS amo_add_on_ids, a.display_name::text AS amo_display_name,"
           " a.email_opt_in::boolean AS amo_email_opt_in, a.language::text AS amo_language,"
           " a.last_login::date AS amo_last_login, a.location::text AS amo_location,"
           " a.profile_url::text AS amo_profile_url, a.\"user\"::boolean AS amo_user,"
           " a.user_id::text AS amo_user_id, a.username::text AS amo_username,"
           " a.create_timestamp::timestamptz AS amo_create_timestamp,"
           " a.update_timestamp::timestamptz AS amo_update_timestamp,"
           " f.fxa_id::text, f.primary_email::text AS fxa_primary_email,"
           " f.created_date::text AS fxa_created_date, f.lang::text AS fxa_lang,"
           " f.first_service::text AS fxa_first_service,"
           " f.account_deleted::boolean AS fxa_account_deleted,"
           " f.create_timestamp::timestamptz AS fxa_create_timestamp,"
           " f.update_timestamp::timestamptz AS fxa_update_timestamp"
           " FROM ctms.emails AS e"
           " LEFT JOIN ctms.amo AS a USING (email_id) LEFT JOIN ctms.fxa AS f USING (email_id)"
           " WHERE e.email_id = ANY ($1) ORDER BY e.email_id",
    .arg_count = 1,
    .arg_types = {UUIDARRAYOID},
    .is_read_only = true};

static QueuePlan newsletter_plan = {
    .sql = "SELECT email_id::uuid, name::text AS newsletter_name,"
           " source::text AS newsletter_source, format::text AS newsletter_format,"
           " lang::text AS newsletter_lang, subscribed::boolean,"
           " unsub_reason::text AS newsletter_unsub_reason, create_timestamp::timestamptz,"
           " update_timestamp::timestamptz"
           " FROM ctms.newsletters AS n WHERE email_id = ANY ($1)"
           " ORDER BY n.email_id",
    .arg_count = 1,
    .arg_types = {UUIDARRAYOID},
    .is_read_only = true};

static QueuePlan waitlist_plan = {
    .sql = "SELECT email_id::uuid, name::text AS waitlist_name, source::text AS waitlist_source,"
           " subscribed::boolean, unsub_reason::text, create_timestamp::timestamptz,"
           " update_timestamp::timestamptz, fields::jsonb AS _fields"
           " FROM ctms.waitlists AS w WHERE email_id = ANY ($1)"
           " ORDER BY w.email_id",
    .arg_count = 1,
    .arg_types = {UUIDARRAYOID},
    .is_read_only = true};

static QueuePlan product_plan = {
    .sql = "SELECT email_id, product_name, product_id, price_id, segment::text AS segment, changed,"
           " sub_count, payment_service, payment_type, card_brand, card_last4, currency, amount,"
           " billing_country, status, interval_count, \"interval\", created, start,"
           " current_period_start, current_period_end, canceled_at, cancel_at_period_end, ended_at"
           " FROM ctms._product_subscriptions($1) ORDER BY email_id, product_id COLLATE \"C\"",
    .arg_count = 1,
    .arg_types = {UUIDARRAYOID},
    .is_read_only = true};

static QueuePlan *const plans[] = {&main_plan, &newsletter_plan, &waitlist_plan, &product_plan};

/* The column by which the rows of a contact are sorted; 0: the statement does it. */
static const int name_columns[] = {0, NEWSLETTER_NAME, WAITLIST_NAME, 0};

void
acoustic_source_read(AcousticRows *rows, AcousticSource source, ArrayType *email_ids)
{
    int width;

    memset(rows, 0, sizeof(*rows));
    rows->count =
        queue_run_plan(plans[source], (Datum[]){PointerGetDatum(email_ids)}, NULL, SPI_OK_SELECT);
    rows->table = SPI_tuptable;
    rows->name_column = name_columns[source];
    rows->loaded = rows->count;
    width = rows->table->tupdesc->natts;
    rows->values = palloc(width * sizeof(Datum));
    rows->nulls = palloc(width * sizeof(bool));
}

Datum
acoustic_source_contact(const AcousticRows *rows, uint64 row)
{
    bool is_null;

    return SPI_getbinval(rows->table->vals[row], rows->table->tupdesc, 1, &is_null);
}

static int
compare_contact(const AcousticRows *rows, uint64 row, const pg_uuid_t *email_id)
{
    return memcmp(DatumGetUUIDP(acoustic_source_contact(rows, row)), email_id, UUID_LEN);
}

static text *
name_of(const AcousticRows *rows, HeapTuple tuple)
{
    bool is_null;
    Datum name = SPI_getbinval(tuple, rows->table->tupdesc, rows->name_column, &is_null);

    return is_null ? cstring_to_text("") : DatumGetTextPP(name);
}

/* By bytes, as COLLATE "C" does. */
static int
compare_names(const void *a, const void *b, void *arg)
{
    text *one = name_of(arg, *(const HeapTuple *)a);
    text *other = name_of(arg, *(const HeapTuple *)b);
    int one_length = VARSIZE_ANY_EXHDR(one), other_length = VARSIZE_ANY_EXHDR(other);
    int order = memcmp(VARDATA_ANY(one), VARDATA_ANY(other), Min(one_length, other_length));

    return order != 0 ? order : one_length - other_length;
}

AcousticSpan
acoustic_source_take(AcousticRows *rows, const pg_uuid_t *email_id)
{
    AcousticSpan span;

    while (rows->next < rows->count && compare_contact(rows, rows->next, email_id) < 0)
        rows->next++;
    span.first = rows->next;
    while (rows->next < rows->count && compare_contact(rows, rows->next, email_id) == 0)
        rows->next++;
    span.end = rows->next;
    if (rows->name_column > 0 && span.end - span.first > 1)
        qsort_arg(rows->table->vals + span.first, span.end - span.first, sizeof(HeapTuple),
                  compare_names, rows);
    return span;
}

void
acoustic_source_load(AcousticRows *rows, uint64 row)
{
    if (rows->loaded != row)
        heap_deform_tuple(rows->table->vals[row], rows->table->tupdesc, rows->values, rows->nulls);
    rows->loaded = row;
}

bool
acoustic_source_is_true(const AcousticRows *rows, int column)
{
    return !rows->nulls[column - 1] && DatumGetBool(rows->values[column - 1]);
}
