/*
 * csv.c: a reader of CSV with a state for each byte; see csv.h.
 */
#include "test/acoustic-sandbox/csv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { INPUT_SIZE = 64 * 1024, MAX_RECORD = 4 * 1024 * 1024 };

enum state { AT_VALUE, IN_PLAIN, IN_QUOTES, AFTER_QUOTE, AFTER_CR };

void
csv_open(struct csv *csv, int fd)
{
    *csv = (struct csv){.fd = fd, .input = xmalloc(INPUT_SIZE), .next_line = 1};
}

void
csv_close(struct csv *csv)
{
    free(csv->input);
    free(csv->starts);
    buf_free(&csv->text);
    *csv = (struct csv){0};
}

const char *
csv_value(const struct csv *csv, size_t index)
{
    return csv->text.data + csv->starts[index];
}

size_t
csv_length(const struct csv *csv, size_t index)
{
    return csv->starts[index + 1] - csv->starts[index] - 1;
}

/* False at the end of the file, or with a problem. */
static bool
fill(struct csv *csv)
{
    ssize_t count;

    do
        count = read(csv->fd, csv->input, INPUT_SIZE);
    while (count < 0 && errno == EINTR);
    if (count < 0)
        csv->problem = "the file could not be read";
    csv->at = 0;
    csv->length = count > 0 ? (size_t)count : 0;
    return count > 0;
}

static void
end_value(struct csv *csv)
{
    buf_append_char(&csv->text, '\0');
    if (csv->count + 2 > csv->size) {
        csv->size = csv->size ? csv->size * 2 : 64;
        csv->starts = xrealloc(csv->starts, csv->size * sizeof(*csv->starts));
        csv->starts[0] = 0;
    }
    csv->starts[++csv->count] = csv->text.length;
}

/* Takes one byte; returns true when the record is complete or broken. */
static bool
take(struct csv *csv, enum state *state, char byte)
{
    if (byte == '\0') {
        csv->problem = "there is a NUL";
        return true;
    }
    if (*state == IN_QUOTES) {
        if (byte == '"')
            *state = AFTER_QUOTE;
        else
            buf_append_char(&csv->text, byte);
        return false;
    }
    if (byte == '"') {
        if (*state == AFTER_QUOTE)
            buf_append_char(&csv->text, '"');
        else if (*state != AT_VALUE)
            csv->problem = "there is a quote within a value that is not in quotes";
        *state = IN_QUOTES;
        return csv->problem != NULL;
    }
    if (*state == AFTER_CR && byte != '\n') {
        csv->problem = "there is a CR without LF behind it";
        return true;
    }
    switch (byte) {
    case ',':
        end_value(csv);
        *state = AT_VALUE;
        return false;
    case '\r': *state = AFTER_CR; return false;
    case '\n': end_value(csv); return true;
    default: break;
    }
    if (*state == AFTER_QUOTE)
        csv->problem = "there is text behind a quote that ends a value";
    *state = IN_PLAIN;
    buf_append_char(&csv->text, byte);
    return csv->problem != NULL;
}

/* At the end of the file: the last record needs no line break. */
static enum csv_result
end_file(struct csv *csv, enum state state)
{
    if (csv->problem == NULL && state == IN_QUOTES)
        csv->problem = "the file ends within quotes";
    if (csv->problem != NULL)
        return CSV_BROKEN;
    if (csv->count == 0 && state == AT_VALUE)
        return CSV_END;
    end_value(csv);
    return CSV_RECORD;
}

enum csv_result
csv_next(struct csv *csv)
{
    enum state state = AT_VALUE;
    bool is_complete = false;

    csv->count = 0;
    csv->line = csv->next_line;
    buf_reset(&csv->text);
    while (csv->problem == NULL && !is_complete) {
        if (csv->at == csv->length && !fill(csv))
            return end_file(csv, state);
        csv->next_line += csv->input[csv->at] == '\n';
        is_complete = take(csv, &state, csv->input[csv->at++]);
        if (csv->text.length > MAX_RECORD)
            csv->problem = "a record is too long";
    }
    return csv->problem == NULL ? CSV_RECORD : CSV_BROKEN;
}

void
csv_add(buf *record, const char *value)
{
    if (strpbrk(value, "\",\r\n") == NULL) {
        buf_append_string(record, value);
        return;
    }
    buf_append_char(record, '"');
    for (; *value != '\0'; value++) {
        if (*value == '"')
            buf_append_char(record, '"');
        buf_append_char(record, *value);
    }
    buf_append_char(record, '"');
}
