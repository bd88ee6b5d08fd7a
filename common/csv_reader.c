/* csv_reader.c: see csv_reader.h. */
#include "common/csv_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "common/utf8.h"

#define BLOCK ((size_t)256 << 10)

/* ---- bytes ------------------------------------------------------------------------ */

/* True when there is a byte at the position. */
static bool
has_byte(struct csv_reader *reader)
{
    if (reader->position < reader->length)
        return true;
    if (feof(reader->file) || ferror(reader->file))
        return false;
    reader->is_first_block = reader->length == 0;
    reader->length = fread(reader->block, 1, BLOCK, reader->file);
    reader->position = 0;
    return reader->length > 0;
}

static bool
is_next(struct csv_reader *reader, char c)
{
    return has_byte(reader) && reader->block[reader->position] == c;
}

static void
take_byte(struct csv_reader *reader)
{
    buf_append_char(&reader->text, reader->block[reader->position++]);
}

/* Takes the end of a line, which is kept inside quotes. */
static void
take_line_end(struct csv_reader *reader, bool is_kept)
{
    bool is_return = reader->block[reader->position] == '\r';

    take_byte(reader);
    if (is_return && is_next(reader, '\n'))
        take_byte(reader);
    else
        is_return = false;
    reader->line++;
    if (!is_kept) {
        reader->text.length -= 1 + is_return;
        reader->text.data[reader->text.length] = '\0';
    }
}

static bool
is_line_end(char c)
{
    return c == '\n' || c == '\r';
}

static void
skip_blanks(struct csv_reader *reader)
{
    while ((is_next(reader, ' ') || is_next(reader, '\t')) && !is_next(reader, reader->separator))
        reader->position++;
}

/* ---- cells ------------------------------------------------------------------------ */

static void
set_problem(struct csv_reader *reader, const char *problem)
{
    if (reader->problem)
        return;
    reader->problem = problem;
    reader->problem_cell = reader->count;
}

static bool
is_too_long(const struct csv_reader *reader)
{
    return reader->text.length > CSV_READER_ROW_MAX;
}

/* Up to the separator or the end of the line. */
static void
read_unquoted(struct csv_reader *reader)
{
    while (has_byte(reader) && !is_too_long(reader)) {
        const char *from = reader->block + reader->position;
        size_t left = reader->length - reader->position;
        size_t length = 0;

        while (length < left && from[length] != '\n' && from[length] != '\r' &&
               (from[length] != reader->separator || reader->is_plain))
            length++;
        buf_append(&reader->text, from, length);
        reader->position += length;
        if (length < left)
            return;
    }
}

/* Up to the quote that closes, which may be lacking. */
static bool
read_quoted(struct csv_reader *reader)
{
    while (has_byte(reader) && !is_too_long(reader)) {
        char c = reader->block[reader->position];

        if (is_line_end(c)) {
            take_line_end(reader, true);
            continue;
        }
        if (c == '"') {
            reader->position++;
            if (!is_next(reader, '"'))
                return true;
        }
        take_byte(reader);
    }
    return false;
}

/* The row is refused and saved, so the quotes that were taken off a cell come back. */
static void
restore_quotes(struct csv_reader *reader, size_t start, size_t behind)
{
    buf *text = &reader->text;

    buf_append(text, "\"\"", 2);
    memmove(text->data + behind + 2, text->data + behind, text->length - 2 - behind);
    memmove(text->data + start + 1, text->data + start, behind - start);
    text->data[start] = '"';
    text->data[behind + 1] = '"';
}

/* Leaves the position at the separator or the end of the line. False when the file cannot be read
 * any further. */
static bool
read_cell(struct csv_reader *reader)
{
    size_t start = reader->text.length;
    long long quote_line = reader->line;
    bool is_closed = true;

    if (!reader->is_plain) {
        while (is_next(reader, ' ') || (is_next(reader, '\t') && reader->separator != '\t'))
            take_byte(reader);
    }
    if (!reader->is_plain && is_next(reader, '"')) {
        size_t behind;

        reader->text.length = start;
        reader->position++;
        is_closed = read_quoted(reader);
        skip_blanks(reader);
        behind = reader->text.length;
        if (is_closed)
            read_unquoted(reader);
        if (reader->text.length > behind) {
            set_problem(reader, "has text behind a closing quote; quotes inside are doubled");
            restore_quotes(reader, start, behind);
        }
    } else {
        read_unquoted(reader);
        if (reader->text.length == start + 2 && memcmp(reader->text.data + start, "\\N", 2) == 0)
            reader->text.length = start;
    }
    if (is_too_long(reader) || !is_closed) {
        snprintf(reader->message, sizeof(reader->message),
                 is_closed             ? "line %lld is too long: a row may have 1 MiB"
                 : is_too_long(reader) ? "the row of the quote that opens in line %lld is too "
                                         "long: a row may have 1 MiB. Is the quote closed?"
                                       : "the quote that opens in line %lld is not closed",
                 quote_line);
        return false;
    }
    return true;
}

/* Ends the cell that has been read. Of those that are too many, empty ones leave nothing: Excel
 * writes thousands of them. */
static void
end_cell(struct csv_reader *reader)
{
    buf *text = &reader->text;
    size_t start = reader->starts[reader->count];

    for (size_t i = start; i < text->length && !reader->has_content; i++)
        reader->has_content = text->data[i] != ' ' && text->data[i] != '\t';
    if (reader->count + 1 < CSV_READER_CELLS_MAX) {
        buf_append_char(text, '\0');
        reader->starts[++reader->count] = text->length;
    } else if (text->length > start) {
        set_problem(reader, "has too many cells");
    }
}

/* ---- rows ------------------------------------------------------------------------- */

/* Zero bytes and what is not UTF-8 are looked for in the whole row at once. */
static void
check_text(struct csv_reader *reader)
{
    const char *text = buf_text(&reader->text);
    bool is_valid = utf8_valid_prefix(text, reader->text.length) == reader->text.length;

    for (size_t cell = 0; cell < reader->count && !reader->problem; cell++) {
        size_t length = csv_reader_cell_length(reader, cell);

        if (!is_valid && utf8_valid_prefix(text + reader->starts[cell], length) < length)
            reader->problem = "has bytes that are not UTF-8";
        else if (strlen(text + reader->starts[cell]) < length)
            reader->problem = "has a zero byte; is the file UTF-16?";
        reader->problem_cell = cell;
    }
}

/* False when nothing more can be read. */
static bool
read_row(struct csv_reader *reader)
{
    bool is_going = true;

    buf_reset(&reader->text);
    reader->row_line = reader->line;
    reader->count = 0;
    reader->starts[0] = 0;
    reader->has_content = false;
    reader->problem = NULL;
    while (is_going) {
        if (!read_cell(reader))
            return false;
        end_cell(reader);
        is_going = has_byte(reader) && !is_line_end(reader->block[reader->position]);
        if (is_going)
            reader->position++;
    }
    if (has_byte(reader))
        take_line_end(reader, false);
    return true;
}

enum csv_reader_result
csv_reader_next(struct csv_reader *reader)
{
    while (has_byte(reader)) {
        if (!read_row(reader)) {
            reader->problem = reader->message;
            return CSV_READER_FAILED;
        }
        if (!reader->has_content && !reader->problem) {
            reader->blank++;
            continue;
        }
        check_text(reader);
        return reader->problem ? CSV_READER_BAD_ROW : CSV_READER_ROW;
    }
    if (!ferror(reader->file))
        return CSV_READER_END;
    snprintf(reader->message, sizeof(reader->message), "could not be read: %s", strerror(errno));
    reader->problem = reader->message;
    return CSV_READER_FAILED;
}

const char *
csv_reader_cell(const struct csv_reader *reader, size_t cell)
{
    return buf_text(&reader->text) + reader->starts[cell];
}

size_t
csv_reader_cell_length(const struct csv_reader *reader, size_t cell)
{
    return reader->starts[cell + 1] - reader->starts[cell] - 1;
}

/* ---- files ------------------------------------------------------------------------ */

/* The first of the known separators outside quotes. */
static char
find_separator(const char *text, size_t length)
{
    bool is_quoted = false;

    for (size_t i = 0; i < length && (is_quoted || !is_line_end(text[i])); i++) {
        if (text[i] == '"')
            is_quoted = !is_quoted;
        else if (!is_quoted && text[i] && strchr(",;\t", text[i]))
            return text[i];
    }
    return ',';
}

/* Learns the separator from the first line that is not empty; skips "sep=;". */
static void
begin(struct csv_reader *reader)
{
    const char *text = reader->block;
    size_t empty = 0;

    reader->separator = ',';
    if (!has_byte(reader))
        return;
    while (empty < reader->length && (is_line_end(text[empty]) || text[empty] == ' '))
        empty++;
    reader->separator = find_separator(text + empty, reader->length - empty);
    if (reader->length < 5 || strncasecmp(text, "sep=", 4) != 0 || !text[4] ||
        !strchr(",;\t|", text[4]) || (reader->length > 5 && !is_line_end(text[5])))
        return;
    reader->separator = text[4];
    reader->position = 5;
    if (has_byte(reader))
        take_line_end(reader, false);
}

void
csv_reader_init(struct csv_reader *reader, FILE *file)
{
    *reader = (struct csv_reader){.file = file, .line = 1, .block = xmalloc(BLOCK)};
    begin(reader);
}

void
csv_reader_free(struct csv_reader *reader)
{
    free(reader->block);
    buf_free(&reader->text);
    reader->block = NULL;
}

bool
csv_reader_restart_plain(struct csv_reader *reader)
{
    if (!reader->is_first_block)
        return false;
    reader->is_plain = true;
    reader->position = 0;
    reader->line = 1;
    reader->blank = 0;
    return true;
}
