/*
 * row.c: packed rows; see row.h.
 */
#include "test/acoustic-sandbox/row.h"

#include <stdlib.h>
#include <string.h>

#include "common/buf.h"

void
row_append(struct row *row, const char *name, const char *value)
{
    size_t name_size = strlen(name) + 1;
    size_t value_size = strlen(value) + 1;

    if (row->data == NULL || row->len + name_size + value_size > row->size) {
        row->size = (row->len + name_size + value_size) * 2;
        row->data = xrealloc(row->data, row->size);
    }
    memcpy(row->data + row->len, name, name_size);
    memcpy(row->data + row->len + name_size, value, value_size);
    row->len += name_size + value_size;
}

bool
row_next(const struct row *row, struct row_cursor *cursor)
{
    if (cursor->offset >= row->len)
        return false;
    cursor->name = row->data + cursor->offset;
    cursor->value = cursor->name + strlen(cursor->name) + 1;
    cursor->offset = (size_t)(cursor->value - row->data) + strlen(cursor->value) + 1;
    return true;
}

const char *
row_get(const struct row *row, const char *name)
{
    struct row_cursor cursor = {0};

    while (row_next(row, &cursor)) {
        if (strcmp(cursor.name, name) == 0)
            return cursor.value;
    }
    return NULL;
}

/* True if both rows have the same columns in the same order, which is usual for an update. */
static bool
has_same_columns(const struct row *a, const struct row *b)
{
    struct row_cursor in_a = {0}, in_b = {0};

    for (;;) {
        bool more_a = row_next(a, &in_a);
        bool more_b = row_next(b, &in_b);

        if (!more_a || !more_b)
            return more_a == more_b;
        if (strcmp(in_a.name, in_b.name) != 0)
            return false;
    }
}

void
row_merge(struct row *into, const struct row *from, bool keep_on_empty)
{
    struct row merged = {0};
    struct row_cursor cursor = {0};

    if (into->len == 0 || (!keep_on_empty && has_same_columns(into, from))) {
        while (row_next(from, &cursor))
            row_append(&merged, cursor.name, cursor.value);
    } else {
        while (row_next(into, &cursor)) {
            const char *value = row_get(from, cursor.name);
            bool is_kept = value == NULL || (keep_on_empty && *value == '\0');

            row_append(&merged, cursor.name, is_kept ? cursor.value : value);
        }
        cursor = (struct row_cursor){0};
        while (row_next(from, &cursor)) {
            if (row_get(into, cursor.name) == NULL)
                row_append(&merged, cursor.name, cursor.value);
        }
    }
    row_free(into);
    *into = merged;
    if (merged.len > 0) {
        into->data = xrealloc(merged.data, merged.len);
        into->size = merged.len;
    }
}

void
row_free(struct row *row)
{
    free(row->data);
    *row = (struct row){0};
}
