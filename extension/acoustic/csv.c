/*
 * acoustic/csv.c: the SQL functions that return the rows for Acoustic as records of CSV files.
 *
 * One file has one kind of rows, and all records of a file have the same columns. The texts are
 * collected for all contacts of a call, whose number the caller limits.
 */
#include "extension/base/compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "extension/acoustic/render.h"
#include "extension/acoustic/tables.h"
#include "extension/base/result_row.h"

PG_FUNCTION_INFO_V1(ctms_acoustic_csv);
PG_FUNCTION_INFO_V1(ctms_acoustic_csv_columns);

/* A longer text goes out in several rows, so that nobody has to hold much of it. It fits into a
 * buffer of 1 MB; a record that is longer is alone. */
#define CSV_TEXT_LIMIT (1024 * 1024 - 1)

typedef struct CsvText {
    StringInfoData records; /* after room for the header of a text */
    int64 row_count;
} CsvText;

typedef struct Csv {
    ReturnSetInfo *result;
    CsvText texts[ACOUSTIC_KINDS];
} Csv;

static void
start_text(CsvText *text)
{
    resetStringInfo(&text->records);
    appendStringInfoSpaces(&text->records, VARHDRSZ);
    text->row_count = 0;
}

static void
put_text(Csv *csv, AcousticKind kind)
{
    CsvText *text = &csv->texts[kind];
    Datum values[3];
    bool is_null[3] = {false, false, false};

    if (text->row_count == 0)
        return;
    values[0] = CStringGetTextDatum(acoustic_layout_file_name(kind));
    values[1] = Int64GetDatum(text->row_count);
    SET_VARSIZE(text->records.data, text->records.len);
    values[2] = PointerGetDatum(text->records.data);
    result_row_put(csv->result, values, is_null, lengthof(values));
    start_text(text);
}

static void
take_row(void *arg, Datum email_id, AcousticKind kind, const char *name, const StringInfoData *row)
{
    Csv *csv = arg;
    CsvText *text = &csv->texts[kind];

    if (text->row_count > 0 && text->records.len + row->len > CSV_TEXT_LIMIT)
        put_text(csv, kind);
    appendBinaryStringInfo(&text->records, row->data, row->len);
    text->row_count++;
}

/* ctms.acoustic_csv(email_ids) → a row for each kind of which there are rows */
Datum
ctms_acoustic_csv(PG_FUNCTION_ARGS)
{
    Csv csv = {.result = (ReturnSetInfo *)fcinfo->resultinfo};
    AcousticSink sink = {.form = ACOUSTIC_CSV, .row = take_row, .arg = &csv};
    bool is_snapshot_new;

    InitMaterializedSRF(fcinfo, 0);
    is_snapshot_new = acoustic_tables_hold();
    if (!is_snapshot_new)
        acoustic_tables_check();
    for (int kind = 0; kind < ACOUSTIC_KINDS; kind++) {
        initStringInfo(&csv.texts[kind].records);
        start_text(&csv.texts[kind]);
    }
    acoustic_render_contacts(PG_GETARG_ARRAYTYPE_P(0), &sink);
    for (int kind = 0; kind < ACOUSTIC_KINDS; kind++)
        put_text(&csv, kind);
    if (is_snapshot_new)
        PopActiveSnapshot();
    return (Datum)0;
}

static Datum
names_of(const AcousticLayout *layout)
{
    ArrayBuildState *names = initArrayResult(TEXTOID, CurrentMemoryContext, false);

    accumArrayResult(names, CStringGetTextDatum("email_id"), false, TEXTOID, CurrentMemoryContext);
    for (int i = 0; i < layout->count; i++)
        accumArrayResult(names, CStringGetTextDatum(layout->columns[i].name), false, TEXTOID,
                         CurrentMemoryContext);
    return makeArrayResult(names, CurrentMemoryContext);
}

/* ctms.acoustic_csv_columns() → a row for each kind */
Datum
ctms_acoustic_csv_columns(PG_FUNCTION_ARGS)
{
    ReturnSetInfo *result = (ReturnSetInfo *)fcinfo->resultinfo;
    AcousticLayout layouts[ACOUSTIC_KINDS];

    InitMaterializedSRF(fcinfo, 0);
    SPI_connect();
    acoustic_render_layouts(layouts);
    for (int kind = 0; kind < ACOUSTIC_KINDS; kind++) {
        Datum values[2];
        bool is_null[2] = {false, false};

        values[0] = CStringGetTextDatum(acoustic_layout_file_name(kind));
        values[1] = names_of(&layouts[kind]);
        result_row_put(result, values, is_null, lengthof(values));
    }
    SPI_finish();
    return (Datum)0;
}
