/* import/rows.c: see import/rows.h. */
#include "cli/import/rows.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include "cli/database.h"
#include "cli/import/reason.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "common/utf8.h"

#define CHUNK ((size_t)2 << 20)
/* Rows that are sent together after one was refused; doubled each time that all of them fit. */
#define FEW_ROWS 16

/* A row of the chunk. */
struct import_rows_row {
    long long line;
    size_t start; /* place in data */
    size_t cells; /* place of its first cell, behind those that say where it comes from */
};

void
import_rows_init(struct import_rows *rows, struct import_refusals *refusals, const char *table,
                 size_t origin)
{
    *rows = (struct import_rows){.refusals = refusals, .table = xstrdup(table), .origin = origin};
}

void
import_rows_free(struct import_rows *rows)
{
    for (size_t i = 0; i < rows->column_count; i++) {
        free(rows->columns[i].name);
        free(rows->columns[i].type);
    }
    free(rows->table);
    free(rows->columns);
    free(rows->rows);
    buf_free(&rows->data);
}

void
import_rows_add_column(struct import_rows *rows, const char *name, const char *type, bool is_key)
{
    rows->columns = xrealloc(rows->columns, (rows->column_count + 1) * sizeof(*rows->columns));
    rows->columns[rows->column_count++] =
        (struct import_rows_column){.name = xstrdup(name), .type = xstrdup(type), .is_key = is_key};
}

size_t
import_rows_find_column(const struct import_rows *rows, const char *name)
{
    size_t i = 0;

    while (i < rows->column_count && strcmp(rows->columns[i].name, name) != 0)
        i++;
    return i;
}

/* ---- rows that are refused -------------------------------------------------------- */

/* The cell of a row of the chunk, as COPY has it. Null if it is NULL. */
static char *
copy_cell(const struct import_rows *rows, size_t row, size_t cell)
{
    const char *text = rows->data.data + rows->rows[row].cells;
    size_t length = strcspn(text, "\t\n");

    for (; cell > 0 && text[length] == '\t'; cell--) {
        text += length + 1;
        length = strcspn(text, "\t\n");
    }
    if (cell > 0 || (length == 2 && memcmp(text, "\\N", 2) == 0))
        return NULL;
    return xstrndup(text, length);
}

/* The keys of a row, unless one of them is what is wrong: then it may be anything. A table that
 * others refer to has one, which is also given alone, as SQL writes it. */
static void
describe_keys(const struct import_rows *rows, size_t row, size_t bad_column, buf *keys, char **key)
{
    *key = NULL;
    for (size_t i = 0; rows->columns && i < rows->column_count; i++) {
        char *text = rows->columns[i].is_key && i != bad_column ? copy_cell(rows, row, i) : NULL;

        if (!text || !utf8_is_text(text, strlen(text))) {
            free(text);
            continue;
        }
        buf_printf(keys, "%s%s %s", keys->length > 0 ? ", " : "", rows->columns[i].name, text);
        if (rows->is_referred)
            *key = text;
        else
            free(text);
    }
    for (char *c = *key; c && *c && strcmp(rows->table, "import_emails") == 0; c++)
        *c = (char)tolower((unsigned char)*c);
}

static bool
refuse(struct import_rows *rows, size_t row, size_t column, const char *reason)
{
    const struct import_rows_column *bad =
        column < rows->column_count ? &rows->columns[column] : NULL;
    buf keys = BUF_INIT;
    struct import_refusal refusal = {.origin = rows->origin,
                                     .line = rows->rows[row].line,
                                     .column = bad ? bad->name : NULL,
                                     .reason = reason,
                                     .cells = rows->column_count};
    char *key;
    bool is_ok;

    describe_keys(rows, row, column, &keys, &key);
    refusal.key = key;
    refusal.keys = buf_text(&keys);
    is_ok = import_refusals_add(rows->refusals, &refusal);
    free(key);
    buf_free(&keys);
    return is_ok && !import_refusals_is_full(rows->refusals);
}

bool
import_rows_refuse(struct import_rows *rows, long long line, size_t cell, const char *reason,
                   size_t cells)
{
    struct import_refusal refusal = {.origin = rows->origin,
                                     .line = line,
                                     .column = cell < rows->column_count ? rows->columns[cell].name
                                                                         : NULL,
                                     .reason = reason,
                                     .keys = "",
                                     .cells = cells};

    rows->read++;
    return import_refusals_add(rows->refusals, &refusal) &&
           !import_refusals_is_full(rows->refusals);
}

/* ---- chunks ----------------------------------------------------------------------- */

enum sent {
    SENT_ALL,
    SENT_REFUSED, /* a row does not fit; nothing of it is in the table */
    SENT_FAILED,  /* reported */
};

/* Where the server has found what. */
struct finding {
    size_t row;
    size_t column;
    char reason[200];
};

static bool
begin_copy(struct import_rows *rows)
{
    struct cli *cli = rows->refusals->cli;
    buf sql = BUF_INIT;
    PGresult *result;
    bool is_ok;

    buf_printf(&sql, "SAVEPOINT rows; COPY pg_temp.%s (import_origin, import_line", rows->table);
    for (size_t i = 0; i < rows->column_count; i++)
        buf_printf(&sql, ", \"%s\"", rows->columns[i].name);
    buf_append_string(&sql, ") FROM STDIN");
    result = PQexec(cli->db, buf_text(&sql));
    is_ok = PQresultStatus(result) == PGRES_COPY_IN;
    if (!is_ok)
        database_report(cli, result, NULL);
    PQclear(result);
    buf_free(&sql);
    return is_ok;
}

/* Finds the row and the column that an error is about. False if it is not about a row. */
static bool
read_finding(const struct import_rows *rows, const PGresult *result, size_t first, size_t last,
             struct finding *finding)
{
    struct import_reason_place place;

    if (!import_reason_find_place(result, rows->table, &place) || place.line > last - first)
        return false;
    finding->row = first + place.line - 1;
    finding->column = rows->column_count;
    for (size_t i = 0, longest = 0; i < rows->column_count; i++) {
        const char *name = rows->columns[i].name;
        const char *found = strstr(place.column, name);

        if (!found || strlen(name) <= longest)
            continue;
        longest = strlen(name);
        finding->column = i;
    }
    import_reason_write(finding->reason, sizeof(finding->reason), result,
                        finding->column < rows->column_count ? rows->columns[finding->column].type
                                                             : NULL);
    return true;
}

/* Sends some rows of the chunk. */
static enum sent
send_rows(struct import_rows *rows, size_t first, size_t last, struct finding *finding)
{
    struct cli *cli = rows->refusals->cli;
    size_t start = rows->rows[first].start;
    size_t end = last < rows->count ? rows->rows[last].start : rows->data.length;
    enum sent sent = SENT_ALL;
    PGresult *result;

    if (!begin_copy(rows))
        return SENT_FAILED;
    PQputCopyData(cli->db, rows->data.data + start, (int)(end - start));
    PQputCopyEnd(cli->db, NULL);
    while ((result = PQgetResult(cli->db)) != NULL) {
        if (!database_is_ok(result) && sent == SENT_ALL) {
            sent = read_finding(rows, result, first, last, finding) ? SENT_REFUSED : SENT_FAILED;
            progress_clear();
            if (sent == SENT_FAILED)
                database_report(cli, result, NULL);
        }
        PQclear(result);
    }
    if (sent == SENT_FAILED ||
        !database_run_script(cli, sent == SENT_ALL ? "RELEASE SAVEPOINT rows"
                                                   : "ROLLBACK TO SAVEPOINT rows; "
                                                     "RELEASE SAVEPOINT rows"))
        return SENT_FAILED;
    return sent;
}

/* Refuses the row that was found, and sends those before it. */
static bool
send_others(struct import_rows *rows, size_t first, const struct finding *finding)
{
    struct finding other;

    if (finding->row > first && send_rows(rows, first, finding->row, &other) != SENT_ALL) {
        output_error(rows->refusals->cli, CLI_FAILED, "table \"%s\" cannot be imported",
                     rows->table);
        return false;
    }
    return refuse(rows, finding->row, finding->column, finding->reason);
}

static bool
send_chunk(struct import_rows *rows)
{
    size_t few = rows->count;
    size_t first = 0;
    bool is_going = true;

    while (is_going && first < rows->count) {
        size_t last = few < rows->count - first ? first + few : rows->count;
        struct finding finding;

        switch (send_rows(rows, first, last, &finding)) {
        case SENT_ALL:
            first = last;
            few *= 2;
            break;
        case SENT_REFUSED:
            is_going = send_others(rows, first, &finding);
            first = finding.row + 1;
            few = FEW_ROWS;
            break;
        case SENT_FAILED: return false;
        }
    }
    rows->count = 0;
    buf_reset(&rows->data);
    return is_going;
}

/* ---- rows ------------------------------------------------------------------------- */

/* A number and a tab; printf would take longer than the rest of a row. */
static void
put_number(buf *data, long long number)
{
    char text[24];
    char *start = text + sizeof(text);

    *--start = '\t';
    do
        *--start = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    buf_append(data, start, (size_t)(text + sizeof(text) - start));
}

void
import_rows_begin(struct import_rows *rows, long long line)
{
    struct import_rows_row *row;

    if (rows->count == rows->capacity) {
        rows->capacity = rows->capacity ? 2 * rows->capacity : 1024;
        rows->rows = xrealloc(rows->rows, rows->capacity * sizeof(*rows->rows));
    }
    row = &rows->rows[rows->count++];
    row->line = line;
    row->start = rows->data.length;
    put_number(&rows->data, (long long)rows->origin);
    put_number(&rows->data, line);
    row->cells = rows->data.length;
}

/* What follows the backslash in COPY's text; 0 for a character that needs none. */
static char
escape_letter(char c)
{
    switch (c) {
    case '\\': return '\\';
    case '\n': return 'n';
    case '\r': return 'r';
    case '\t': return 't';
    default: return 0;
    }
}

void
import_rows_put(struct import_rows *rows, const char *text, size_t length)
{
    buf *data = &rows->data;
    size_t done = 0;

    if (data->length > rows->rows[rows->count - 1].cells)
        buf_append_char(data, '\t');
    if (length == 0)
        buf_append(data, "\\N", 2);
    for (size_t i = 0; i < length; i++) {
        char letter = escape_letter(text[i]);

        if (!letter)
            continue;
        buf_append(data, text + done, i - done);
        buf_append_char(data, '\\');
        buf_append_char(data, letter);
        done = i + 1;
    }
    buf_append(data, text + done, length - done);
}

void
import_rows_put_all(struct import_rows *rows, const char *data, size_t length)
{
    buf_append(&rows->data, data, length);
}

/* True if the row that was just put is UTF-8; otherwise it is refused. */
static bool
check_row(struct import_rows *rows, bool *is_going)
{
    size_t row = rows->count - 1;
    const char *text = rows->data.data + rows->rows[row].cells;
    size_t length = rows->data.length - rows->rows[row].cells;
    size_t valid = utf8_valid_prefix(text, length);
    size_t column = 0;

    if (valid == length)
        return true;
    for (size_t i = 0; i < valid; i++)
        column += text[i] == '\t';
    buf_append_char(&rows->data, '\n');
    *is_going = refuse(rows, row, column, "has bytes that are not UTF-8");
    rows->data.length = rows->rows[row].start;
    rows->count--;
    return false;
}

bool
import_rows_end(struct import_rows *rows)
{
    bool is_going = true;

    rows->read++;
    if (!rows->is_checked && !check_row(rows, &is_going))
        return is_going;
    buf_append_char(&rows->data, '\n');
    return rows->data.length < CHUNK || send_chunk(rows);
}

bool
import_rows_finish(struct import_rows *rows)
{
    return send_chunk(rows);
}
