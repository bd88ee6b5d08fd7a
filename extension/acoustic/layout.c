/*
 * acoustic/layout.c: which columns the rows of each kind have, in which order, and from where.
 */
#include "extension/base/compat.h"

#include "executor/spi.h"

#include "extension/acoustic/layout.h"
#include "extension/acoustic/writer.h"

static const struct {
    const char *row_name;
    const char *file_name;
    AcousticSource source;
} kinds[ACOUSTIC_KINDS] = {
    {"main", "main", SOURCE_MAIN},
    {"main", "main_amo", SOURCE_MAIN},
    {"main", "main_fxa", SOURCE_MAIN},
    {"main", "main_amo_fxa", SOURCE_MAIN},
    {"newsletter", "newsletter", SOURCE_NEWSLETTERS},
    {"waitlist", "waitlist", SOURCE_WAITLISTS},
    {"product", "product", SOURCE_PRODUCTS},
};

const char *
acoustic_layout_row_name(AcousticKind kind)
{
    return kinds[kind].row_name;
}

const char *
acoustic_layout_file_name(AcousticKind kind)
{
    return kinds[kind].file_name;
}

AcousticSource
acoustic_layout_source(AcousticKind kind)
{
    return kinds[kind].source;
}

static AcousticColumn *
add(AcousticLayout *layout, const char *name, AcousticColumnSource from)
{
    AcousticColumn *column = &layout->columns[layout->count++];

    *column = (AcousticColumn){.name = name, .key = acoustic_writer_key(name), .from = from};
    return column;
}

static void
set_place(AcousticColumn *column, TupleDesc source, int place)
{
    column->place = place;
    column->type = TupleDescAttr(source, place - 1)->atttypid;
}

/* Columns of the statement, from the second to before "end". */
static void
add_columns(AcousticLayout *layout, TupleDesc source, int end)
{
    for (int place = 2; place < end; place++)
        set_place(add(layout, NameStr(TupleDescAttr(source, place - 1)->attname), FROM_COLUMN),
                  source, place);
}

static void
add_waitlist_field(AcousticLayout *layout, const MainField *field, TupleDesc waitlists)
{
    AcousticColumn *column = add(layout, field->name, FROM_WAITLIST);
    int place = SPI_fnumber(waitlists, field->waitlist_field);

    column->waitlist = field->waitlist;
    column->member = field->waitlist_field;
    if (place <= 0)
        place = SPI_fnumber(waitlists, psprintf("waitlist_%s", field->waitlist_field));
    if (place > 1 && place < WAITLIST_FIELDS)
        set_place(column, waitlists, place);
}

static void
add_main(AcousticLayout *layout, AcousticKind kind, const AcousticFields *fields,
         const TupleDesc *sources)
{
    for (int i = 0; i < fields->main_count; i++) {
        const MainField *field = &fields->main[i];

        if ((field->group == MAIN_AMO && !(kind & ACOUSTIC_MAIN_AMO)) ||
            (field->group == MAIN_FXA && !(kind & ACOUSTIC_MAIN_FXA)))
            continue;
        if (field->group == MAIN_WAITLIST) {
            add_waitlist_field(layout, field, sources[SOURCE_WAITLISTS]);
        } else {
            AcousticColumn *column = add(layout, field->name, FROM_COLUMN);

            set_place(column, sources[SOURCE_MAIN], field->column);
            column->style = field->style;
        }
    }
    for (int i = 0; i < fields->flag_count; i++)
        add(layout, fields->flags[i], FROM_FLAG)->place = i;
}

static void
add_waitlist(AcousticLayout *layout, const AcousticFields *fields, TupleDesc source)
{
    add_columns(layout, source, WAITLIST_FIELDS);
    for (int i = 0; i < fields->waitlist_count; i++)
        add(layout, fields->waitlist_names[i], FROM_MEMBER)->member = fields->waitlist[i];
}

static void
add_product(AcousticLayout *layout, TupleDesc source)
{
    add_columns(layout, source, source->natts + 1);
    layout->columns[PRODUCT_AMOUNT - 2].style = ACOUSTIC_MINUS_ONE;
    layout->columns[PRODUCT_INTERVAL_COUNT - 2].style = ACOUSTIC_MINUS_ONE;
}

void
acoustic_layout_make(AcousticLayout *layout, AcousticKind kind, const AcousticFields *fields,
                     const TupleDesc *sources)
{
    TupleDesc source = sources[kinds[kind].source];
    int most = source->natts + fields->main_count + fields->flag_count + fields->waitlist_count;

    layout->columns = palloc(most * sizeof(AcousticColumn));
    layout->count = 0;
    switch (kinds[kind].source) {
    case SOURCE_MAIN: add_main(layout, kind, fields, sources); break;
    case SOURCE_NEWSLETTERS: add_columns(layout, source, source->natts + 1); break;
    case SOURCE_WAITLISTS: add_waitlist(layout, fields, source); break;
    case SOURCE_PRODUCTS: add_product(layout, source); break;
    case SOURCES: break;
    }
}
