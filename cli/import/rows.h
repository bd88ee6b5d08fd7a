/*
 * import/rows.h: sends rows to a temporary table by COPY, and refuses those that do not fit,
 * without losing the others.
 *
 * Rows go in chunks, each below a savepoint. If the server refuses a row, the rows before it are
 * sent again, and then those behind it. The table has the columns import_origin and import_line,
 * which say where a row comes from.
 */
#ifndef CTMS_CLI_IMPORT_ROWS_H
#define CTMS_CLI_IMPORT_ROWS_H

#include "cli/import/refusals.h"
#include "common/buf.h"

struct import_rows_column {
    char *name;
    char *type; /* for people */
    bool is_key;
};

struct import_rows {
    struct import_refusals *refusals;
    char *table; /* in pg_temp */
    size_t origin;
    bool is_checked;  /* the caller knows that the rows are UTF-8 */
    bool is_referred; /* other rows refer to its key */
    struct import_rows_column *columns;
    size_t column_count;
    long long read; /* also refused ones */
    /* internal: the chunk */
    buf data;
    struct import_rows_row *rows;
    size_t count, capacity;
};

void import_rows_init(struct import_rows *rows, struct import_refusals *refusals, const char *table,
                      size_t origin);
void import_rows_free(struct import_rows *rows);
void
import_rows_add_column(struct import_rows *rows, const char *name, const char *type, bool is_key);
/* The place of a column that was added; column_count if there is none. */
size_t import_rows_find_column(const struct import_rows *rows, const char *name);

/* ---- a row: begin, put each cell (or all of them), end -----------------------------------------
 */

void import_rows_begin(struct import_rows *rows, long long line);
/* An empty text is NULL. */
void import_rows_put(struct import_rows *rows, const char *text, size_t length);
/* All cells as COPY writes them. */
void import_rows_put_all(struct import_rows *rows, const char *data, size_t length);
/* Returns false when it is useless to go on: after an error, which is reported, and when very many
 * rows have been refused. */
bool import_rows_end(struct import_rows *rows);

/* Refuses a row that was not begun; cell: its place, or column_count if it is no single one.
 * Returns as import_rows_end(). */
bool import_rows_refuse(struct import_rows *rows, long long line, size_t cell, const char *reason,
                        size_t cells);

/* Sends the last chunk. Returns as import_rows_end(). */
bool import_rows_finish(struct import_rows *rows);

#endif
