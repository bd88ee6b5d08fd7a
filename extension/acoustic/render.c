/*
 * acoustic/render.c: renders the rows that Acoustic gets about contacts, as text.
 *
 * It reads a batch of contacts with one statement for each kind of row, all ordered by email_id,
 * and walks over their results together: first the main row of a contact, then its newsletters,
 * waitlists and products. Large requests are read in pieces, so that they do not need more
 * memory.
 */
#include "extension/base/compat.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "extension/acoustic/render.h"
#include "extension/acoustic/source.h"
#include "extension/queue/feed.h"

PG_FUNCTION_INFO_V1(ctms_acoustic_main_columns);

#define CONTACTS_PER_PIECE 1000

typedef struct Piece {
    const AcousticSink *sink;
    MemoryContext context; /* for what lives as long as the piece */
    AcousticWriter writer;
    AcousticRows rows[SOURCES];
    TupleDesc sources[SOURCES];
    AcousticFields fields;
    AcousticLayout layouts[ACOUSTIC_KINDS]; /* those that were needed; others have no columns */
    bool *are_set;                          /* the flags of the current contact */
    AcousticSpan spans[SOURCES];            /* the rows of the current contact */
    Datum email_id;
    AcousticText email_id_text;
} Piece;

/* ---- columns ----------------------------------------------------------------------- */

/* A member of the fields of the loaded waitlist row. False when the fields do not have it. */
static bool
find_member(const AcousticRows *waitlists, const char *name, AcousticText *text)
{
    Jsonb *fields;
    JsonbValue *member;

    if (waitlists->nulls[WAITLIST_FIELDS - 1])
        return false;
    fields = DatumGetJsonbP(waitlists->values[WAITLIST_FIELDS - 1]);
    if (!JB_ROOT_IS_OBJECT(fields))
        return false;
    member = getKeyJsonValueFromContainer(&fields->root, name, strlen(name), NULL);
    if (member)
        acoustic_text_format_member(text, member);
    return member != NULL;
}

static void
format_column(const AcousticRows *rows, const AcousticColumn *column, AcousticText *text)
{
    acoustic_text_format(text, rows->values[column->place - 1], rows->nulls[column->place - 1],
                         column->type, column->style);
}

/* The name of the loaded row; the statements make it a text. */
static void
format_name(const AcousticRows *rows, int column, AcousticText *text)
{
    acoustic_text_format(text, rows->values[column - 1], rows->nulls[column - 1], TEXTOID,
                         ACOUSTIC_PLAIN);
}

static void
format_waitlist(Piece *piece, const AcousticColumn *column, AcousticText *text)
{
    AcousticRows *waitlists = &piece->rows[SOURCE_WAITLISTS];
    AcousticSpan span = piece->spans[SOURCE_WAITLISTS];

    acoustic_text_set(text, "");
    for (uint64 row = span.first; row < span.end; row++) {
        AcousticText name;

        acoustic_source_load(waitlists, row);
        format_name(waitlists, WAITLIST_NAME, &name);
        if (!acoustic_text_is(&name, column->waitlist))
            continue;
        if (!find_member(waitlists, column->member, text) && column->place > 0)
            format_column(waitlists, column, text);
        return;
    }
}

static void
format(Piece *piece, const AcousticRows *rows, const AcousticColumn *column, AcousticText *text)
{
    switch (column->from) {
    case FROM_COLUMN: format_column(rows, column, text); break;
    case FROM_MEMBER:
        if (!find_member(rows, column->member, text))
            acoustic_text_set(text, "");
        break;
    case FROM_WAITLIST: format_waitlist(piece, column, text); break;
    case FROM_FLAG: acoustic_text_set(text, piece->are_set[column->place] ? "1" : "0"); break;
    }
}

/* ---- rows -------------------------------------------------------------------------- */

static const AcousticLayout *
layout_of(Piece *piece, AcousticKind kind)
{
    AcousticLayout *layout = &piece->layouts[kind];

    if (!layout->columns) {
        MemoryContext caller = MemoryContextSwitchTo(piece->context);

        acoustic_layout_make(layout, kind, &piece->fields, piece->sources);
        MemoryContextSwitchTo(caller);
    }
    return layout;
}

static char *
name_of(const AcousticRows *rows, int column)
{
    AcousticText name;

    if (column == 0)
        return pstrdup("");
    format_name(rows, column, &name);
    return pnstrdup(name.data, name.length);
}

static void
put_row(Piece *piece, AcousticKind kind, uint64 row, int name_column)
{
    const AcousticLayout *layout = layout_of(piece, kind);
    AcousticRows *rows = &piece->rows[acoustic_layout_source(kind)];
    const AcousticSink *sink = piece->sink;
    const char *name = NULL;

    acoustic_source_load(rows, row);
    acoustic_writer_start(&piece->writer);
    acoustic_writer_put(&piece->writer, "\"email_id\":", &piece->email_id_text);
    for (int i = 0; i < layout->count; i++) {
        AcousticText text;

        format(piece, rows, &layout->columns[i], &text);
        acoustic_writer_put(&piece->writer, layout->columns[i].key, &text);
    }
    acoustic_writer_end(&piece->writer);
    if (sink->form == ACOUSTIC_JSON)
        name = name_of(rows, name_column);
    sink->row(sink->arg, piece->email_id, kind, name, &piece->writer.text);
}

static void
put_rows(Piece *piece, AcousticKind kind, int name_column)
{
    AcousticSpan span = piece->spans[acoustic_layout_source(kind)];

    for (uint64 row = span.first; row < span.end; row++)
        put_row(piece, kind, row, name_column);
}

/* A flag is set when the contact subscribes to any newsletter that sets it. */
static void
set_flags(Piece *piece)
{
    AcousticRows *newsletters = &piece->rows[SOURCE_NEWSLETTERS];
    AcousticSpan span = piece->spans[SOURCE_NEWSLETTERS];
    const AcousticFields *fields = &piece->fields;

    memset(piece->are_set, 0, fields->flag_count * sizeof(bool));
    for (uint64 row = span.first; row < span.end; row++) {
        AcousticText name;

        acoustic_source_load(newsletters, row);
        if (!acoustic_source_is_true(newsletters, NEWSLETTER_SUBSCRIBED))
            continue;
        format_name(newsletters, NEWSLETTER_NAME, &name);
        for (int i = 0; i < fields->flag_source_count; i++)
            if (acoustic_text_is(&name, fields->flag_sources[i].newsletter))
                piece->are_set[fields->flag_sources[i].flag] = true;
    }
}

static void
put_contact(Piece *piece, uint64 row)
{
    AcousticRows *main = &piece->rows[SOURCE_MAIN];
    AcousticKind kind = ACOUSTIC_MAIN;

    acoustic_source_load(main, row);
    piece->email_id = main->values[0];
    acoustic_text_format(&piece->email_id_text, piece->email_id, false, UUIDOID, ACOUSTIC_PLAIN);
    for (int source = SOURCE_NEWSLETTERS; source < SOURCES; source++)
        piece->spans[source] =
            acoustic_source_take(&piece->rows[source], DatumGetUUIDP(piece->email_id));
    set_flags(piece);
    if (acoustic_source_is_true(main, MAIN_HAS_AMO))
        kind |= ACOUSTIC_MAIN_AMO;
    if (acoustic_source_is_true(main, MAIN_HAS_FXA))
        kind |= ACOUSTIC_MAIN_FXA;
    put_row(piece, kind, row, 0);
    put_rows(piece, ACOUSTIC_NEWSLETTER, NEWSLETTER_NAME);
    put_rows(piece, ACOUSTIC_WAITLIST, WAITLIST_NAME);
    put_rows(piece, ACOUSTIC_PRODUCT, PRODUCT_ID);
    if (piece->sink->contact_done)
        piece->sink->contact_done(piece->sink->arg, piece->email_id);
}

/* ---- pieces ------------------------------------------------------------------------ */

/*
 * Products belong to the FxA account. Reading them costs as much as everything else, so they are
 * only read when a contact has one.
 */
static bool
is_any_fxa(AcousticRows *main)
{
    for (uint64 row = 0; row < main->count; row++) {
        bool is_null;

        if (DatumGetBool(SPI_getbinval(main->table->vals[row], main->table->tupdesc, MAIN_HAS_FXA,
                                       &is_null)))
            return true;
    }
    return false;
}

static void
read_source(Piece *piece, AcousticSource source, ArrayType *email_ids)
{
    acoustic_source_read(&piece->rows[source], source, email_ids);
    piece->sources[source] = piece->rows[source].table->tupdesc;
}

static void
read_piece(Piece *piece, ArrayType *email_ids, bool is_all_read)
{
    read_source(piece, SOURCE_MAIN, email_ids);
    read_source(piece, SOURCE_NEWSLETTERS, email_ids);
    read_source(piece, SOURCE_WAITLISTS, email_ids);
    if (is_all_read || is_any_fxa(&piece->rows[SOURCE_MAIN]))
        read_source(piece, SOURCE_PRODUCTS, email_ids);
    acoustic_read_fields(&piece->fields, piece->sources[SOURCE_MAIN]);
}

static void
put_piece(const AcousticSink *sink, ArrayType *email_ids)
{
    Piece piece = {.sink = sink, .context = CurrentMemoryContext};
    MemoryContext contact_context =
        AllocSetContextCreate(CurrentMemoryContext, "ctms acoustic rows", ALLOCSET_DEFAULT_SIZES);

    read_piece(&piece, email_ids, false);
    piece.are_set = palloc((piece.fields.flag_count + 1) * sizeof(bool));
    acoustic_writer_init(&piece.writer, sink->form);

    for (uint64 row = 0; row < piece.rows[SOURCE_MAIN].count; row++) {
        MemoryContext caller = MemoryContextSwitchTo(contact_context);

        CHECK_FOR_INTERRUPTS();
        put_contact(&piece, row);
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

void
acoustic_render_layouts(AcousticLayout layouts[ACOUSTIC_KINDS])
{
    Piece piece = {0};

    /* The statements tell their columns, though they read no contact. */
    read_piece(&piece, construct_empty_array(UUIDOID), true);
    for (int kind = 0; kind < ACOUSTIC_KINDS; kind++)
        acoustic_layout_make(&layouts[kind], kind, &piece.fields, piece.sources);
}

/* ctms.acoustic_main_columns() → names: those of the statement. */
Datum
ctms_acoustic_main_columns(PG_FUNCTION_ARGS)
{
    MemoryContext caller = CurrentMemoryContext;
    ArrayBuildState *names = initArrayResult(TEXTOID, caller, false);
    AcousticRows main;
    TupleDesc columns;

    SPI_connect();
    acoustic_source_read(&main, SOURCE_MAIN, construct_empty_array(UUIDOID));
    columns = main.table->tupdesc;
    for (int i = 0; i < columns->natts; i++) {
        const char *name = NameStr(TupleDescAttr(columns, i)->attname);

        if (name[0] != '_')
            accumArrayResult(names, CStringGetTextDatum(name), false, TEXTOID, caller);
    }
    SPI_finish();
    PG_RETURN_DATUM(makeArrayResult(names, caller));
}
