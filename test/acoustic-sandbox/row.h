/*
 * row.h: a row of an Acoustic table as one packed block of text. The whole sandbox uses it.
 *
 * A row is "value\0value\0...", and the names of its columns, which it shares with all rows that
 * have the same columns in the same order. So it is small enough to keep millions of them, and fast
 * to compare and to merge. The holder of the struct owns its text; row_free() frees it. Lists of
 * names live as long as the process.
 */
#ifndef CTMS_TEST_ACOUSTIC_SANDBOX_ROW_H
#define CTMS_TEST_ACOUSTIC_SANDBOX_ROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Names of columns in their order. Two lists of the same names are the same list. */
struct row_columns;

struct row {
    const struct row_columns *columns; /* null while the row is empty */
    char *data;                        /* null while the row is empty */
    uint32_t len;
    uint32_t size;
};

/* One step of a walk over a row: start with a zeroed struct. */
struct row_cursor {
    const char *name;
    const char *value;
    size_t index;
    size_t offset;
};

void row_append(struct row *row, const char *name, const char *value);
bool row_next(const struct row *row, struct row_cursor *cursor);
/* The value of a column, or null when the row has no such column. */
const char *row_get(const struct row *row, const char *name);
/* The number of the first value like "version 17", by which tests tell older rows from newer ones;
 * -1 when there is none. */
long row_version(const struct row *row);
/* Columns of "from" replace those of "into", or are added to it. With keep_on_empty, an empty value
 * changes nothing. "from" keeps its memory. */
void row_merge(struct row *into, const struct row *from, bool keep_on_empty);
void row_free(struct row *row);

/* The list with one more name; null is the empty list. */
const struct row_columns *row_columns_add(const struct row_columns *columns, const char *name);
/* Adds a value without its name: for who sets row->columns to the list that fits. */
void row_append_value(struct row *row, const char *value, size_t length);

#endif
