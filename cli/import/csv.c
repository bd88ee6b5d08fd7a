/*
 * import/csv.c: reads CSV files: one for each table, or several whose names contain the table's.
 *
 * Files are named after the tables (emails.csv), or like the sample data of ctms-api
 * (…contact_to_email….csv, with columns like amo_user). An empty cell is NULL.
 */
#include "cli/import/csv.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include "common/csv_reader.h"
#include "cli/input.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "common/buf.h"

/* Names of files that are shown when the wanted one is not there. */
#define NAMES_MAX 5

struct folder {
    char *path;
    char **files; /* sorted */
    size_t count;
};

/* ---- one file -------------------------------------------------------------------- */

/* A name of a column as we write it; the caller frees it. */
static char *
clean_name(const char *cell)
{
    char *name = xstrdup(cell + strspn(cell, " \t"));
    size_t length = strlen(name);

    while (length > 0 && strchr(" \t", name[length - 1]))
        name[--length] = '\0';
    for (size_t i = 0; i < length; i++)
        name[i] = (char)tolower((unsigned char)name[i]);
    return name;
}

/* Reports a column that cannot be taken. */
static bool
refuse_column(struct cli *cli, const char *path, long long line, const char *name,
              const char *problem)
{
    buf visible = BUF_INIT;

    buf_append_visible(&visible, name, strnlen(name, 64));
    if (cli->status == CLI_OK)
        output_error(cli, CLI_FAILED, "\"%s\", line %lld: column \"%s\" %s", path, line,
                     buf_text(&visible), problem);
    buf_free(&visible);
    return false;
}

/* Reads the names of the columns. Empty ones at the end are those of empty cells. */
static bool
read_header(struct import_rows *rows, struct csv_reader *reader, const char *path,
            const char *tables, bool (*take)(void *arg, const char *name), void *arg)
{
    struct cli *cli = rows->refusals->cli;
    enum csv_reader_result found = csv_reader_next(reader);
    size_t count = found == CSV_READER_ROW ? reader->count : 0;
    bool is_ok = count > 0;

    while (count > 0 && csv_reader_cell_length(reader, count - 1) == 0)
        count--;
    if (found == CSV_READER_BAD_ROW || found == CSV_READER_FAILED)
        output_error(cli, CLI_FAILED, "\"%s\", line %lld: %s", path, reader->row_line,
                     reader->problem);
    else if (!is_ok)
        output_error(cli, CLI_FAILED, "\"%s\" does not begin with names of columns", path);
    for (size_t cell = 0; is_ok && cell < count; cell++) {
        char *name = clean_name(csv_reader_cell(reader, cell));
        buf problem = BUF_INIT;

        if (!take(arg, name)) {
            buf_printf(&problem, "is not one of %s", tables);
            is_ok = refuse_column(cli, path, reader->row_line, name, buf_text(&problem));
        } else if (import_rows_find_column(rows, rows->columns[cell].name) < cell) {
            is_ok = refuse_column(cli, path, reader->row_line, name, "is there twice");
        }
        buf_free(&problem);
        free(name);
    }
    if (rows->refusals->widest < rows->column_count)
        rows->refusals->widest = rows->column_count;
    return is_ok;
}

static bool
refuse_row(struct import_rows *rows, const struct csv_reader *reader)
{
    char reason[64];

    if (reader->problem)
        return import_rows_refuse(rows, reader->row_line, reader->problem_cell, reader->problem,
                                  reader->count);
    snprintf(reason, sizeof(reason), "has %zu cell%s instead of %zu", reader->count,
             reader->count == 1 ? "" : "s", rows->column_count);
    return import_rows_refuse(rows, reader->row_line, rows->column_count, reason, reader->count);
}

/* Cells behind the last column are ignored if they are empty. */
static bool
has_right_count(const struct import_rows *rows, const struct csv_reader *reader)
{
    size_t count = reader->count;

    while (count > rows->column_count && csv_reader_cell_length(reader, count - 1) == 0)
        count--;
    return count == rows->column_count;
}

/* Skips the first form that fits, in which 9 is any digit. Null if none does. */
static const char *
skip_form(const char *text, const char *const *forms)
{
    for (; *forms; forms++) {
        size_t i = 0;

        while ((*forms)[i] &&
               ((*forms)[i] == '9' ? isdigit((unsigned char)text[i]) : text[i] == (*forms)[i]))
            i++;
        if (!(*forms)[i])
            return text + i;
    }
    return NULL;
}

/*
 * A day, or a day and a time, as ISO 8601 and databases write it. PostgreSQL reads more: "today" is
 * another day in each import, "IST" is a zone of three countries, "GMT+2" is west of Greenwich, and
 * 21-01-02 may be a year or a day.
 */
static bool
is_iso_time(const char *text)
{
    static const char *const dates[] = {"9999-99-99", "99999999", NULL};
    static const char *const times[] = {"99:99:99", "99:99", "999999", NULL};
    static const char *const zones[] = {"+99:99:99", "-99:99:99", "+99:99", "-99:99", "+9999",
                                        "-9999",     "+99",       "-99",    "Z",      "z",
                                        "UTC",       "GMT",       NULL};
    const char *next;

    text = skip_form(text + strspn(text, " "), dates);
    next = text && *text && strchr("Tt ", *text) ? skip_form(text + 1, times) : NULL;
    if (next && *next == '.' && isdigit((unsigned char)next[1]))
        next += 1 + strspn(next + 1, "0123456789");
    text = next ? next : text;
    next = text ? skip_form(text + (*text == ' '), zones) : NULL;
    text = next ? next : text;
    return text && text[strspn(text, " ")] == '\0';
}

/* The first cell with a time that may be read as another than is meant; column_count if none. */
static size_t
find_odd_time(const struct import_rows *rows, const struct csv_reader *reader)
{
    size_t cell = 0;

    while (cell < rows->column_count &&
           ((strncmp(rows->columns[cell].type, "timestamp", strlen("timestamp")) != 0 &&
             strcmp(rows->columns[cell].type, "date") != 0) ||
            csv_reader_cell_length(reader, cell) == 0 ||
            is_iso_time(csv_reader_cell(reader, cell))))
        cell++;
    return cell;
}

static bool
read_rows(struct import_rows *rows, struct csv_reader *reader, const char *path)
{
    enum csv_reader_result found;
    bool is_going = true;
    size_t odd;

    while (is_going && (found = csv_reader_next(reader)) <= CSV_READER_BAD_ROW) {
        if (found == CSV_READER_BAD_ROW || !has_right_count(rows, reader)) {
            is_going = refuse_row(rows, reader);
            continue;
        }
        odd = find_odd_time(rows, reader);
        if (odd < rows->column_count) {
            is_going =
                import_rows_refuse(rows, reader->row_line, odd,
                                   "is not a time as ISO 8601 writes it (22007)", reader->count);
            continue;
        }
        import_rows_begin(rows, reader->row_line);
        for (size_t cell = 0; cell < rows->column_count; cell++)
            import_rows_put(rows, csv_reader_cell(reader, cell),
                            csv_reader_cell_length(reader, cell));
        is_going = import_rows_end(rows);
        if (rows->read % 1000 == 0)
            progress_show("%s: %lld rows read", path, rows->read);
    }
    if (is_going && found == CSV_READER_FAILED) {
        progress_clear();
        output_error(rows->refusals->cli, CLI_FAILED, "\"%s\": %s", path, reader->problem);
        is_going = false;
    }
    return is_going;
}

bool
import_csv_read(struct import_rows *rows, const char *path, const char *tables,
                bool (*take)(void *arg, const char *name), void *arg)
{
    struct csv_reader reader;
    FILE *file = input_open(rows->refusals->cli, path);
    bool is_going;

    if (!file)
        return false;
    rows->is_checked = true; /* by the reader */
    csv_reader_init(&reader, file);
    is_going =
        read_header(rows, &reader, path, tables, take, arg) && read_rows(rows, &reader, path);
    csv_reader_free(&reader);
    input_close(file);
    return is_going;
}

/* ---- the files of a table ---------------------------------------------------------- */

/* emails.csv, or …contact_to_email….csv. "contact_to_waitlist" is not "contact_to_vpn_waitlist". */
static bool
is_file_of(const char *file, const struct import_table *table)
{
    const char *part = strstr(file, "contact_to_");
    size_t length = strlen(table->name);

    if (strncasecmp(file, table->name, length) == 0 && strcasecmp(file + length, ".csv") == 0)
        return true;
    if (!part || !table->csv_names)
        return false;
    part += strlen("contact_to_");
    length = strlen(table->csv_names);
    return strncmp(part, table->csv_names, length) == 0 && strchr("s_-.0123456789", part[length]);
}

struct header {
    struct import *import;
    struct import_rows *rows;
    size_t table;
};

/* Takes a column name, which may have the prefix of the sample data. */
static bool
take_name(void *arg, const char *name)
{
    struct header *header = arg;
    const char *prefix = import_tables[header->table].csv_names;
    size_t length = prefix ? strlen(prefix) : 0;

    if (import_take_column(header->import, header->rows, header->table, name))
        return true;
    return header->import->cli->status == CLI_OK && length > 0 &&
           strncmp(name, prefix, length) == 0 && name[length] == '_' &&
           import_take_column(header->import, header->rows, header->table, name + length + 1);
}

static bool
stage_file(struct import *import, size_t table, const char *path)
{
    struct import_rows rows;
    struct header header = {.import = import, .rows = &rows, .table = table};
    buf tables = BUF_INIT;
    bool is_going;

    buf_printf(&tables, "the columns of table \"%s\"", import_tables[table].name);
    import_begin_rows(import, &rows, table, path);
    is_going = import_csv_read(&rows, path, buf_text(&tables), take_name, &header);
    is_going = import_end_rows(import, &rows, table, is_going);
    import_rows_free(&rows);
    buf_free(&tables);
    return is_going;
}

static bool
stage_table(struct import *import, size_t table)
{
    struct folder *folder = import->from;
    bool is_going = true;

    for (size_t i = 0; i < folder->count && is_going; i++) {
        buf path = BUF_INIT;

        if (!is_file_of(folder->files[i], &import_tables[table]))
            continue;
        buf_printf(&path, "%s/%s", folder->path, folder->files[i]);
        is_going = stage_file(import, table, buf_text(&path));
        buf_free(&path);
    }
    return is_going;
}

/* ---- folders ---------------------------------------------------------------------- */

static void
close_folder(struct import *import)
{
    struct folder *folder = import->from;

    if (!folder)
        return;
    for (size_t i = 0; i < folder->count; i++)
        free(folder->files[i]);
    free(folder->files);
    free(folder->path);
    free(folder);
    import->from = NULL;
}

static const struct import_source source = {.stage = stage_table, .close = close_folder};

static int
compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool
read_names(struct import *import, struct folder *folder)
{
    DIR *dir = opendir(folder->path);
    struct dirent *entry;

    if (!dir) {
        output_error(import->cli, CLI_FAILED, "could not open \"%s\": %s", folder->path,
                     errno == ENOTDIR ? "it is a file; name the folder that holds emails.csv"
                                      : strerror(errno));
        return false;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        folder->files = xrealloc(folder->files, (folder->count + 1) * sizeof(*folder->files));
        folder->files[folder->count++] = xstrdup(entry->d_name);
    }
    closedir(dir);
    if (folder->count > 0)
        qsort(folder->files, folder->count, sizeof(*folder->files), compare_names);
    return true;
}

static bool
is_csv(const char *file)
{
    size_t length = strlen(file);

    return length > 4 && strcasecmp(file + length - 4, ".csv") == 0;
}

static void
print_name(const char *before, const char *file)
{
    fputs(before, stderr);
    output_text(stderr, file);
    fputc('"', stderr);
}

/* There must be contacts; CSV files of other names may be misspelt. */
static bool
check_names(struct import *import, const struct folder *folder)
{
    bool has_emails = false;

    for (size_t i = 0; i < folder->count; i++) {
        size_t table = 0;

        while (table < IMPORT_TABLE_COUNT && !is_file_of(folder->files[i], &import_tables[table]))
            table++;
        has_emails = has_emails || table == 0;
        if (table < IMPORT_TABLE_COUNT || !is_csv(folder->files[i]))
            continue;
        print_name("ctms: note: no table is named like \"", folder->files[i]);
        fputs(", which is not read\n", stderr);
    }
    if (has_emails)
        return true;
    output_error(import->cli, CLI_FAILED,
                 "\"%s\" has no file emails.csv, or ...contact_to_email....csv", folder->path);
    fputs(folder->count == 0 ? "  it is empty" : "  it has", stderr);
    for (size_t i = 0; i < folder->count && i < NAMES_MAX; i++)
        print_name(i > 0 ? ", \"" : " \"", folder->files[i]);
    fputs(folder->count > NAMES_MAX ? " and others\n" : "\n", stderr);
    return false;
}

bool
import_csv_open(struct import *import, const char *path)
{
    struct folder *folder = xcalloc(1, sizeof(*folder));

    import->source = &source;
    import->from = folder;
    folder->path = xstrdup(path);
    return read_names(import, folder) && check_names(import, folder);
}
