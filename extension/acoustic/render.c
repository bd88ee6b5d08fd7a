/*
 * acoustic/render.c: renders the rows that Acoustic gets about contacts, as text.
 *
 * It reads a batch of contacts with one statement for each kind of row, all ordered by email_id,
 * and walks over their results together: first the main row of a contact, then its newsletters,
 * waitlists and products. Large requests are read in pieces, so that they do not need more
 * memory.
 */
#include "extension/base/compat.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/uuid.h"

#include "extension/acoustic/fields.h"
#include "extension/acoustic/render.h"
#include "extension/acoustic/value.h"
#include "extension/queue/feed.h"
#include "extension/queue/plan.h"

PG_FUNCTION_INFO_V1(ctms_acoustic_main_columns);

#define CONTACTS_PER_PIECE 1000

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
           " FROM unnest($1) AS wanted (email_id) JOIN ctms.emails AS e USING (email_id)"
           " LEFT JOIN ctms.amo AS a USING (email_id) LEFT JOIN ctms.fxa AS f USING (email_id)"
           " ORDER BY e.email_id",
    .arg_count = 1,
    .arg_types = {UUIDARRAYOID},
    .is_read_only = true};

#define MAIN_HAS_AMO 2
#define MAIN_HAS_FXA 3

static QueuePlan newsletter_plan = {
    .sql = "SELECT email_id::uuid, name::text AS newsletter_name,"
           " source::text AS newsletter_source, format::text AS newsletter_format,"
           " lang::text AS newsletter_lang, subscribed::boolean,"
           " unsub_reason::text AS newsletter_unsub_reason, create_timestamp::timestamptz,"
           " update_timestamp::timestamptz"
           " FROM ctms.newsletters AS n WHERE email_id = ANY ($1)"
           " ORDER BY n.email_id, n.name COLLATE \"C\"",
    .arg_count = 1,
    .arg_types = {UUIDARRAYOID},
    .is_read_only = true};
#define NEWSLETTER_NAME 2
#define NEWSLETTER_SUBSCRIBED 6

static QueuePlan waitlist_plan = {
    .sql = "SELECT email_id::uuid, name::text AS waitlist_name, source::text AS waitlist_source,"
           " subscribed::boolean, unsub_reason::text, create_timestamp::timestamptz,"
           " update_timestamp::timestamptz, fields::jsonb AS _fields"
           " FROM ctms.waitlists AS w WHERE email_id = ANY ($1)"
           " ORDER BY w.email_id, w.name COLLATE \"C\"",
    .arg_count = 1,
    .arg_types = {UUIDARRAYOID},
    .is_read_only = true};
#define WAITLIST_NAME 2
#define WAITLIST_FIELDS 8

static QueuePlan product_plan = {
    .sql = "SELECT email_id, product_name, product_id, price_id, segment::text AS segment, changed,"
           " sub_count, payment_service, payment_type, card_brand, card_last4, currency, amount,"
           " billing_country, status, interval_count, \"interval\", created, start,"
           " current_period_start, current_period_end, canceled_at, cancel_at_period_end, ended_at"
           " FROM ctms._product_subscriptions($1) ORDER BY email_id, product_id COLLATE \"C\"",
    .arg_count = 1,
    .arg_types = {UUIDARRAYOID},
    .is_read_only = true};
#define PRODUCT_ID 3
#define PRODUCT_AMOUNT 13
#define PRODUCT_INTERVAL_COUNT 16

/* The rows of one statement, and the position of the walk. */
typedef struct RowSet {
    SPITupleTable *table;
    uint64 count;
    uint64 next;
} RowSet;

typedef struct Piece {
    RowSet main, newsletters, waitlists, products;
} Piece;

/* The rows of the current contact in a RowSet. */
typedef struct Span {
    uint64 first, end;
} Span;

typedef struct Output {
    const AcousticSink *sink;
    Datum email_id;
    StringInfoData json;
} Output;

static RowSet
read_rows(QueuePlan *plan, ArrayType *email_ids)
{
    RowSet rows = {0};

    rows.count = queue_run_plan(plan, (Datum[]){PointerGetDatum(email_ids)}, NULL, SPI_OK_SELECT);
    rows.table = SPI_tuptable;
    return rows;
}

static Datum
value_of(const RowSet *rows, uint64 row, int column, bool *is_null)
{
    return SPI_getbinval(rows->table->vals[row], rows->table->tupdesc, column, is_null);
}

static char *
text_of(const RowSet *rows, uint64 row, int column)
{
    bool is_null;
    Datum value = value_of(rows, row, column, &is_null);

    return is_null ? pstrdup("") : TextDatumGetCString(value);
}

static int
compare_contact(const RowSet *rows, uint64 row, Datum email_id)
{
    bool is_null;

    return memcmp(DatumGetUUIDP(value_of(rows, row, 1, &is_null)), DatumGetUUIDP(email_id),
                  UUID_LEN);
}

/* Moves the walk past the rows of the contact, and returns these. */
static Span
take_span(RowSet *rows, Datum email_id)
{
    Span span;

    while (rows->next < rows->count && compare_contact(rows, rows->next, email_id) < 0)
        rows->next++;
    span.first = rows->next;
    while (rows->next < rows->count && compare_contact(rows, rows->next, email_id) == 0)
        rows->next++;
    span.end = rows->next;
    return span;
}

/* ---- rows ------------------------------------------------------------------ */

static void
start_row(Output *output)
{
    resetStringInfo(&output->json);
    appendStringInfoChar(&output->json, '{');
    acoustic_append_field(&output->json, "email_id", output->email_id, false, UUIDOID,
                          ACOUSTIC_PLAIN);
}

static void
end_row(Output *output, const char *kind, const char *name)
{
    appendStringInfoChar(&output->json, '}');
    output->sink->row(output->sink->arg, output->email_id, kind, name, &output->json);
}

static void
append_column(StringInfo json, const RowSet *rows, uint64 row, int column, AcousticStyle style)
{
    TupleDesc desc = rows->table->tupdesc;
    bool is_null;
    Datum value = value_of(rows, row, column, &is_null);

    acoustic_append_field(json, NameStr(TupleDescAttr(desc, column - 1)->attname), value, is_null,
                          TupleDescAttr(desc, column - 1)->atttypid, style);
}

/*
 * A member of the fields of a waitlist as text, empty when it is null. NULL when the fields do
 * not have it.
 */
static char *
waitlist_member(const RowSet *waitlists, uint64 row, const char *name)
{
    bool is_null;
    Datum fields = value_of(waitlists, row, WAITLIST_FIELDS, &is_null);
    Jsonb *jsonb;
    JsonbValue *member;

    if (is_null)
        return NULL;
    jsonb = DatumGetJsonbP(fields);
    if (!JB_ROOT_IS_OBJECT(jsonb))
        return NULL;
    member = getKeyJsonValueFromContainer(&jsonb->root, name, strlen(name), NULL);
    return member ? acoustic_json_member_text(member) : NULL;
}

/*
 * "<waitlist>_waitlist_<field>": a member of the waitlist's fields, otherwise a column of its
 * row.
 */
static void
append_main_waitlist(StringInfo json, const MainField *field, const RowSet *waitlists, Span span)
{
    TupleDesc desc = waitlists->table->tupdesc;

    for (uint64 row = span.first; row < span.end; row++) {
        char *member;
        int column;

        if (strcmp(text_of(waitlists, row, WAITLIST_NAME), field->waitlist) != 0)
            continue;
        member = waitlist_member(waitlists, row, field->waitlist_field);
        if (member) {
            acoustic_append_text_field(json, field->name, member);
            return;
        }
        column = SPI_fnumber(desc, field->waitlist_field);
        if (column <= 0)
            column = SPI_fnumber(desc, psprintf("waitlist_%s", field->waitlist_field));
        if (column > 1 && column < WAITLIST_FIELDS) {
            bool is_null;
            Datum value = value_of(waitlists, row, column, &is_null);

            acoustic_append_field(json, field->name, value, is_null,
                                  TupleDescAttr(desc, column - 1)->atttypid, ACOUSTIC_PLAIN);
            return;
        }
        break;
    }
    acoustic_append_text_field(json, field->name, "");
}

/* Writes each flag once: 1 when the contact subscribes to any newsletter that sets it. */
static void
append_flags(StringInfo json, const AcousticFields *fields, const RowSet *newsletters, Span span)
{
    bool *is_set = palloc0((fields->flag_count + 1) * sizeof(bool));

    for (uint64 row = span.first; row < span.end; row++) {
        bool is_null;
        bool is_subscribed =
            DatumGetBool(value_of(newsletters, row, NEWSLETTER_SUBSCRIBED, &is_null));
        char *name;

        if (is_null || !is_subscribed)
            continue;
        name = text_of(newsletters, row, NEWSLETTER_NAME);
        for (int i = 0; i < fields->flag_source_count; i++)
            if (strcmp(fields->flag_sources[i].newsletter, name) == 0)
                is_set[fields->flag_sources[i].flag] = true;
    }
    for (int i = 0; i < fields->flag_count; i++)
        acoustic_append_text_field(json, fields->flags[i], is_set[i] ? "1" : "0");
}

static void
put_main(Output *output, const AcousticFields *fields, const Piece *piece, uint64 row,
         Span newsletters, Span waitlists)
{
    bool is_null;
    bool has_amo = DatumGetBool(value_of(&piece->main, row, MAIN_HAS_AMO, &is_null));
    bool has_fxa = DatumGetBool(value_of(&piece->main, row, MAIN_HAS_FXA, &is_null));

    start_row(output);
    for (int i = 0; i < fields->main_count; i++) {
        const MainField *field = &fields->main[i];

        if ((field->group == MAIN_AMO && !has_amo) || (field->group == MAIN_FXA && !has_fxa))
            continue;
        if (field->group == MAIN_WAITLIST)
            append_main_waitlist(&output->json, field, &piece->waitlists, waitlists);
        else
            append_column(&output->json, &piece->main, row, field->column, field->style);
    }
    append_flags(&output->json, fields, &piece->newsletters, newsletters);
    end_row(output, "main", "");
}

static void
put_newsletters(Output *output, const RowSet *newsletters, Span span)
{
    for (uint64 row = span.first; row < span.end; row++) {
        start_row(output);
        for (int column = 2; column <= newsletters->table->tupdesc->natts; column++)
            append_column(&output->json, newsletters, row, column, ACOUSTIC_PLAIN);
        end_row(output, "newsletter", text_of(newsletters, row, NEWSLETTER_NAME));
    }
}

static void
put_waitlists(Output *output, const AcousticFields *fields, const RowSet *waitlists, Span span)
{
    for (uint64 row = span.first; row < span.end; row++) {
        start_row(output);
        for (int column = 2; column < WAITLIST_FIELDS; column++)
            append_column(&output->json, waitlists, row, column, ACOUSTIC_PLAIN);
        for (int i = 0; i < fields->waitlist_count; i++) {
            char *member = waitlist_member(waitlists, row, fields->waitlist[i]);

            acoustic_append_text_field(&output->json, fields->waitlist_names[i],
                                       member ? member : "");
        }
        end_row(output, "waitlist", text_of(waitlists, row, WAITLIST_NAME));
    }
}

static void
put_products(Output *output, const RowSet *products, Span span)
{
    for (uint64 row = span.first; row < span.end; row++) {
        start_row(output);
        for (int column = 2; column <= products->table->tupdesc->natts; column++)
            append_column(&output->json, products, row, column,
                          column == PRODUCT_AMOUNT || column == PRODUCT_INTERVAL_COUNT
                              ? ACOUSTIC_MINUS_ONE
                              : ACOUSTIC_PLAIN);
        end_row(output, "product", text_of(products, row, PRODUCT_ID));
    }
}

static void
put_contact(Output *output, const AcousticFields *fields, Piece *piece, uint64 row)
{
    Span newsletters, waitlists, products;
    bool is_null;

    output->email_id = value_of(&piece->main, row, 1, &is_null);
    newsletters = take_span(&piece->newsletters, output->email_id);
    waitlists = take_span(&piece->waitlists, output->email_id);
    products = take_span(&piece->products, output->email_id);
    put_main(output, fields, piece, row, newsletters, waitlists);
    put_newsletters(output, &piece->newsletters, newsletters);
    put_waitlists(output, fields, &piece->waitlists, waitlists);
    put_products(output, &piece->products, products);
    if (output->sink->contact_done)
        output->sink->contact_done(output->sink->arg, output->email_id);
}

/*
 * Products belong to the FxA account. Reading them costs as much as everything else, so they are
 * only read when a contact has one.
 */
static bool
is_any_fxa(const RowSet *main)
{
    for (uint64 row = 0; row < main->count; row++) {
        bool is_null;

        if (DatumGetBool(value_of(main, row, MAIN_HAS_FXA, &is_null)))
            return true;
    }
    return false;
}

static void
put_piece(const AcousticSink *sink, ArrayType *email_ids)
{
    Piece piece = {.products = {0}};
    AcousticFields fields;
    Output output = {.sink = sink};
    MemoryContext contact_context =
        AllocSetContextCreate(CurrentMemoryContext, "ctms acoustic rows", ALLOCSET_DEFAULT_SIZES);

    piece.main = read_rows(&main_plan, email_ids);
    piece.newsletters = read_rows(&newsletter_plan, email_ids);
    piece.waitlists = read_rows(&waitlist_plan, email_ids);
    if (is_any_fxa(&piece.main))
        piece.products = read_rows(&product_plan, email_ids);
    acoustic_read_fields(&fields, piece.main.table->tupdesc);

    for (uint64 row = 0; row < piece.main.count; row++) {
        MemoryContext caller = MemoryContextSwitchTo(contact_context);

        CHECK_FOR_INTERRUPTS();
        initStringInfo(&output.json);
        put_contact(&output, &fields, &piece, row);
        MemoryContextSwitchTo(caller);
        MemoryContextReset(contact_context);
    }
    MemoryContextDelete(contact_context);
}

void
acoustic_render_contacts(ArrayType *email_ids, const AcousticSink *sink)
{
    FeedKeys contacts;

    feed_keys_from_array(email_ids, &contacts);
    while (contacts.taken < contacts.count) {
        ArrayType *piece = feed_take(&contacts, CONTACTS_PER_PIECE);

        /* SPI_finish() frees everything that was read for the piece. */
        SPI_connect();
        put_piece(sink, piece);
        SPI_finish();
        pfree(piece);
    }
}

/* ctms.acoustic_main_columns() → names: those of the statement, which reads no contact for it. */
Datum
ctms_acoustic_main_columns(PG_FUNCTION_ARGS)
{
    MemoryContext caller = CurrentMemoryContext;
    ArrayBuildState *names = initArrayResult(TEXTOID, caller, false);
    TupleDesc columns;

    SPI_connect();
    columns = read_rows(&main_plan, construct_empty_array(UUIDOID)).table->tupdesc;
    for (int i = 0; i < columns->natts; i++) {
        const char *name = NameStr(TupleDescAttr(columns, i)->attname);

        if (name[0] != '_')
            accumArrayResult(names, CStringGetTextDatum(name), false, TEXTOID, caller);
    }
    SPI_finish();
    PG_RETURN_DATUM(makeArrayResult(names, caller));
}
