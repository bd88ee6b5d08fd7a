/*
 * row.h: a row of an Acoustic table as one packed block of text. store.c and envelope.c use it.
 *
 * A row is "name\0value\0name\0value\0...", in the order of its columns. It is small enough to keep
 * a million of them, and fast to compare and to merge. The holder of the struct owns it; row_free()
 * frees it.
 */
#ifndef CTMS_TEST_ACOUSTIC_SANDBOX_ROW_H
#define CTMS_TEST_ACOUSTIC_SANDBOX_ROW_H

#include <stdbool.h>
#include <stddef.h>

struct row {
    char *data; /* null while the row is empty */
    size_t len;
    size_t size;
};

/* One step of a walk over a row: start with a zeroed struct. */
struct row_cursor {
    const char *name;
    const char *value;
    size_t offset;
};

void row_append(struct row *row, const char *name, const char *value);
bool row_next(const struct row *row, struct row_cursor *cursor);
/* The value of a column, or null when the row has no such column. */
const char *row_get(const struct row *row, const char *name);
/* Columns of "from" replace those of "into", or are added to it. With keep_on_empty, an empty value
 * changes nothing. "from" keeps its memory. */
void row_merge(struct row *into, const struct row *from, bool keep_on_empty);
void row_free(struct row *row);

#endif
