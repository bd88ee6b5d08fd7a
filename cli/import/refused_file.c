/* import/refused_file.c: writes the file of refused rows; see import/refusals.h. */
#include "cli/import/refusals.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "cli/csv.h"
#include "common/csv_reader.h"
#include "cli/database.h"
#include "cli/input.h"
#include "cli/output.h"
#include "common/buf.h"

/* Rows in the file when more than --max-errors are refused. */
#define ROWS_SQL                                                                                   \
    "SELECT origin, line, column_name, reason, keys FROM " IMPORT_REFUSED_ROWS " AS o "            \
    "ORDER BY origin, line LIMIT 100000"

struct writer {
    struct import_refusals *refusals;
    PGresult *rows;
    int row; /* that comes next */
    FILE *stream;
};

static int
origin_of(const struct writer *writer, int row)
{
    return atoi(PQgetvalue(writer->rows, row, 0));
}

/* Spreadsheets open the file, so no cell may be a formula. */
static void
write_place(struct writer *writer)
{
    const char *name = writer->refusals->origins[origin_of(writer, writer->row)].name;

    csv_write_safe_field(writer->stream, name, true);
    for (int column = 1; column < 4; column++)
        csv_write_safe_field(writer->stream, PQgetvalue(writer->rows, writer->row, column), false);
}

/* A zero byte becomes \0, so that what is behind it is not lost. */
static void
write_cell(struct writer *writer, const char *cell, size_t length)
{
    buf text = BUF_INIT;

    for (const char *end = cell + length; strlen(cell) < (size_t)(end - cell);
         cell += strlen(cell) + 1)
        buf_printf(&text, "%s\\0", cell);
    buf_append_string(&text, cell);
    csv_write_safe_field(writer->stream, buf_text(&text), false);
    buf_free(&text);
}

/* Each row has as many cells as the widest, because most readers expect that. */
static void
write_cells(struct writer *writer, const struct csv_reader *reader)
{
    for (size_t cell = 0; cell < reader->count; cell++)
        write_cell(writer, csv_reader_cell(reader, cell), csv_reader_cell_length(reader, cell));
    for (size_t cell = reader->count; cell < writer->refusals->widest; cell++)
        csv_write_field(writer->stream, "", false);
    csv_end_row(writer->stream);
}

/* Opens a file again; one that is a pipe has nothing left. */
static FILE *
open_again(struct cli *cli, const char *path)
{
    struct stat status;

    if (stat(path, &status) == 0 && S_ISREG(status.st_mode))
        return input_open(cli, path);
    output_error(cli, CLI_FAILED,
                 "\"%s\" is not a regular file, so its refused rows cannot be saved", path);
    return NULL;
}

/* Finds the rows of one CSV file and writes them. is_only: there is no other file, so its names of
 * columns head the cells. */
static bool
write_origin(struct writer *writer, bool is_only)
{
    int origin = origin_of(writer, writer->row);
    const char *path = writer->refusals->origins[origin].name;
    FILE *file = open_again(writer->refusals->cli, path);
    struct csv_reader reader;
    enum csv_reader_result found;

    if (!file)
        return false;
    csv_reader_init(&reader, file);
    found = csv_reader_next(&reader);
    if (is_only)
        write_cells(writer, &reader);
    while (found <= CSV_READER_BAD_ROW && writer->row < PQntuples(writer->rows) &&
           origin_of(writer, writer->row) == origin) {
        found = csv_reader_next(&reader);
        if (found > CSV_READER_BAD_ROW ||
            reader.row_line != strtoll(PQgetvalue(writer->rows, writer->row, 1), NULL, 10))
            continue;
        write_place(writer);
        write_cells(writer, &reader);
        writer->row++;
    }
    csv_reader_free(&reader);
    input_close(file);
    if (found <= CSV_READER_BAD_ROW)
        return true;
    output_error(writer->refusals->cli, CLI_FAILED, "\"%s\" has changed while it was read", path);
    return false;
}

static bool
write_csv_rows(struct writer *writer)
{
    int count = PQntuples(writer->rows);
    bool is_only = origin_of(writer, 0) == origin_of(writer, count - 1);
    bool is_ok = true;

    fputs("file,line,column,reason", writer->stream);
    for (size_t cell = 0; cell < writer->refusals->widest && !is_only; cell++)
        fprintf(writer->stream, ",cell_%zu", cell + 1);
    if (!is_only)
        csv_end_row(writer->stream);
    while (is_ok && writer->row < count)
        is_ok = write_origin(writer, is_only);
    return is_ok;
}

static void
write_database_rows(struct writer *writer)
{
    fputs("table,row,column,reason,keys\n", writer->stream);
    for (; writer->row < PQntuples(writer->rows); writer->row++) {
        write_place(writer);
        csv_write_safe_field(writer->stream, PQgetvalue(writer->rows, writer->row, 4), false);
        csv_end_row(writer->stream);
    }
}

bool
import_refusals_save(struct import_refusals *refusals)
{
    struct cli *cli = refusals->cli;
    const char *path = cli_get_option(cli, "refused-file");
    struct writer writer = {.refusals = refusals};
    bool is_ok = true;
    new_file file;

    path = path ? path : IMPORT_REFUSED_FILE;
    if (refusals->count == 0)
        return true;
    writer.rows = database_query(cli, ROWS_SQL, 0, NULL);
    if (!writer.rows || !output_open_private(cli, &file, path)) {
        PQclear(writer.rows);
        return false;
    }
    writer.stream = file.stream;
    if (refusals->is_csv)
        is_ok = write_csv_rows(&writer);
    else
        write_database_rows(&writer);
    is_ok = output_close_private(cli, &file) && is_ok;
    if (is_ok)
        fprintf(stderr, "ctms: note: %d refused rows are saved in \"%s\"\n", PQntuples(writer.rows),
                path);
    PQclear(writer.rows);
    return is_ok;
}
