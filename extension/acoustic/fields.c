/*
 * acoustic/fields.c: reads from the configuration which fields are sent to Acoustic.
 *
 * The fields are in alphabetical order, so that the same contact always gives the same rows.
 */
#include "extension/base/compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "extension/acoustic/fields.h"
#include "extension/queue/plan.h"

#define WAITLIST_INFIX "_waitlist_"

static QueuePlan fields_plan = {
    .sql =
        "SELECT field FROM ctms.acoustic_field WHERE tablename = $1 ORDER BY field COLLATE \"C\"",
    .arg_count = 1,
    .arg_types = {TEXTOID},
    .is_read_only = true};

static QueuePlan mapping_plan = {
    .sql = "SELECT destination, source FROM ctms.acoustic_newsletter_mapping"
           " ORDER BY destination COLLATE \"C\", source COLLATE \"C\"",
    .is_read_only = true};

static const char *
result_text(uint64 row, int column)
{
    const char *text = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);

    return text ? text : "";
}

/* The special treatment of a field, if its type alone does not decide. */
static AcousticStyle
style_of(const char *name)
{
    static const char *const flags[] = {"double_opt_in", "has_opted_out_of_email",
                                        "fxa_account_deleted", "amo_email_opt_in"};

    for (size_t i = 0; i < lengthof(flags); i++)
        if (strcmp(name, flags[i]) == 0)
            return ACOUSTIC_FLAG;
    if (strcmp(name, "create_timestamp") == 0)
        return ACOUSTIC_DATE;
    if (strcmp(name, "fxa_created_date") == 0)
        return ACOUSTIC_MAYBE_TIME;
    return ACOUSTIC_PLAIN;
}

/* False when a field has no source here, because another system sends it. */
static bool
find_source(MainField *field, TupleDesc main)
{
    const char *infix;

    field->column = SPI_fnumber(main, field->name);
    if (field->column > 0 && field->name[0] != '_') {
        field->style = style_of(field->name);
        field->group = strncmp(field->name, "amo_", 4) == 0   ? MAIN_AMO
                       : strncmp(field->name, "fxa_", 4) == 0 ? MAIN_FXA
                                                              : MAIN_EMAIL;
        return true;
    }
    infix = strstr(field->name, WAITLIST_INFIX);
    if (!infix || infix == field->name || infix[strlen(WAITLIST_INFIX)] == '\0')
        return false;
    field->group = MAIN_WAITLIST;
    field->waitlist = pnstrdup(field->name, infix - field->name);
    field->waitlist_field = infix + strlen(WAITLIST_INFIX);
    return true;
}

static void
read_main(AcousticFields *fields, TupleDesc main)
{
    uint64 count = queue_run_plan(&fields_plan, (Datum[]){PointerGetDatum(cstring_to_text("main"))},
                                  NULL, SPI_OK_SELECT);

    fields->main = palloc0((count + 1) * sizeof(MainField));
    for (uint64 i = 0; i < count; i++) {
        MainField *field = &fields->main[fields->main_count];

        field->name = result_text(i, 1);
        /* The key comes first in every row, whether it is listed or not. */
        if (strcmp(field->name, "email_id") != 0 && find_source(field, main))
            fields->main_count++;
    }
}

static void
read_waitlist(AcousticFields *fields)
{
    uint64 count = queue_run_plan(
        &fields_plan, (Datum[]){PointerGetDatum(cstring_to_text("waitlist"))}, NULL, SPI_OK_SELECT);

    fields->waitlist = palloc((count + 1) * sizeof(char *));
    fields->waitlist_names = palloc((count + 1) * sizeof(char *));
    for (uint64 i = 0; i < count; i++) {
        const char *field = result_text(i, 1);

        /* Every waitlist row already has these columns. */
        if (strcmp(field, "name") == 0 || strcmp(field, "source") == 0)
            continue;
        fields->waitlist[fields->waitlist_count] = field;
        fields->waitlist_names[fields->waitlist_count++] = psprintf("waitlist_%s", field);
    }
}

/* In any case: Acoustic is not asked to tell columns by that. */
static bool
is_main_column(const AcousticFields *fields, const char *name)
{
    for (int i = 0; i < fields->main_count; i++)
        if (pg_strcasecmp(fields->main[i].name, name) == 0)
            return true;
    return pg_strcasecmp(name, "email_id") == 0;
}

/* A flag whose column the contact itself fills is left out: it would replace the value. */
static void
read_flags(AcousticFields *fields)
{
    uint64 count = queue_run_plan(&mapping_plan, NULL, NULL, SPI_OK_SELECT);

    fields->flags = palloc((count + 1) * sizeof(char *));
    fields->flag_sources = palloc((count + 1) * sizeof(FlagSource));
    for (uint64 i = 0; i < count; i++) {
        const char *flag = result_text(i, 1);
        FlagSource *source = &fields->flag_sources[fields->flag_source_count];

        if (is_main_column(fields, flag))
            continue;
        if (fields->flag_count == 0 || strcmp(fields->flags[fields->flag_count - 1], flag) != 0)
            fields->flags[fields->flag_count++] = flag;
        source->newsletter = result_text(i, 2);
        source->flag = fields->flag_count - 1;
        fields->flag_source_count++;
    }
}

void
acoustic_read_fields(AcousticFields *fields, TupleDesc main)
{
    memset(fields, 0, sizeof(*fields));
    read_main(fields, main);
    read_waitlist(fields);
    read_flags(fields);
}
