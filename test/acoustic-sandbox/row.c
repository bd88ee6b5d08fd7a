/*
 * row.c: packed rows; see row.h.
 *
 * Lists of names are the nodes of a tree: the children of a list are those with one more name.
 * Names are kept once, so they are equal only where their pointers are.
 */
#include "test/acoustic-sandbox/row.h"

#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/hash.h"

enum { NAME_BUCKETS = 1024 };

struct name {
    struct name *next;
    char text[];
};

struct row_columns {
    struct row_columns *sibling, *children;
    size_t count;
    const char *names[];
};

static struct name *name_buckets[NAME_BUCKETS];
static struct row_columns no_columns;

/* ---- names ------------------------------------------------------------------------ */

static const char *
keep_name(const char *text)
{
    struct name **bucket = &name_buckets[hash_string(0, text) % NAME_BUCKETS];
    struct name *name = *bucket;
    size_t size = strlen(text) + 1;

    while (name != NULL && strcmp(name->text, text) != 0)
        name = name->next;
    if (name == NULL) {
        name = xmalloc(sizeof(*name) + size);
        name->next = *bucket;
        memcpy(name->text, text, size);
        *bucket = name;
    }
    return name->text;
}

const struct row_columns *
row_columns_add(const struct row_columns *columns, const char *name)
{
    /* Only here are they changed. */
    struct row_columns *parent = columns ? (struct row_columns *)columns : &no_columns;
    struct row_columns *child = parent->children;
    size_t count = parent->count;

    while (child != NULL && strcmp(child->names[count], name) != 0)
        child = child->sibling;
    if (child != NULL)
        return child;

    child = xmalloc(sizeof(*child) + (count + 1) * sizeof(*child->names));
    *child = (struct row_columns){.sibling = parent->children, .count = count + 1};
    if (count > 0)
        memcpy(child->names, parent->names, count * sizeof(*child->names));
    child->names[count] = keep_name(name);
    parent->children = child;
    return child;
}

static size_t
count_of(const struct row *row)
{
    return row->columns ? row->columns->count : 0;
}

/* ---- rows ------------------------------------------------------------------------- */

void
row_append_value(struct row *row, const char *value, size_t length)
{
    size_t needed = row->len + length + 1;

    if (row->data == NULL || needed > row->size) {
        row->size = (uint32_t)(needed * 2);
        row->data = xrealloc(row->data, row->size);
    }
    memcpy(row->data + row->len, value, length);
    row->data[row->len + length] = '\0';
    row->len = (uint32_t)needed;
}

void
row_append(struct row *row, const char *name, const char *value)
{
    row->columns = row_columns_add(row->columns, name);
    row_append_value(row, value, strlen(value));
}

bool
row_next(const struct row *row, struct row_cursor *cursor)
{
    if (cursor->index >= count_of(row))
        return false;
    cursor->name = row->columns->names[cursor->index++];
    cursor->value = row->data + cursor->offset;
    cursor->offset += strlen(cursor->value) + 1;
    return true;
}

const char *
row_get(const struct row *row, const char *name)
{
    size_t count = count_of(row), index = 0;
    const char *value = row->data;

    while (index < count && strcmp(row->columns->names[index], name) != 0)
        index++;
    if (index == count)
        return NULL;
    for (; index > 0; index--)
        value += strlen(value) + 1;
    return value;
}

long
row_version(const struct row *row)
{
    static const char word[] = "version ";
    struct row_cursor cursor = {0};

    while (row_next(row, &cursor)) {
        if (strncmp(cursor.value, word, sizeof(word) - 1) == 0)
            return strtol(cursor.value + sizeof(word) - 1, NULL, 10);
    }
    return -1;
}

static const char **
values_of(const struct row *row)
{
    const char **values = xmalloc((count_of(row) + 1) * sizeof(*values));
    struct row_cursor cursor = {0};

    while (row_next(row, &cursor))
        values[cursor.index - 1] = cursor.value;
    return values;
}

/* The place of a name that is kept, or the count of columns. Both rows mostly have their columns in
 * the same order, so the search begins behind the last find. */
static size_t
find_kept(const struct row *row, const char *name, size_t *begin)
{
    size_t count = count_of(row);

    for (size_t step = 0; step < count; step++) {
        size_t index = *begin + step < count ? *begin + step : *begin + step - count;

        if (row->columns->names[index] == name) {
            *begin = index + 1 < count ? index + 1 : 0;
            return index;
        }
    }
    return count;
}

static struct row
merged_of(const struct row *into, const struct row *from, bool keep_on_empty)
{
    struct row merged = {.columns = into->columns};
    const char **old_values = values_of(into), **new_values = values_of(from);
    size_t begin = 0;

    for (size_t i = 0; i < count_of(into); i++) {
        size_t found = find_kept(from, into->columns->names[i], &begin);
        const char *value = old_values[i];

        if (found < count_of(from) && (!keep_on_empty || *new_values[found] != '\0'))
            value = new_values[found];
        row_append_value(&merged, value, strlen(value));
    }
    begin = 0;
    for (size_t i = 0; i < count_of(from); i++) {
        if (find_kept(into, from->columns->names[i], &begin) == count_of(into))
            row_append(&merged, from->columns->names[i], new_values[i]);
    }
    free(old_values);
    free(new_values);
    return merged;
}

void
row_merge(struct row *into, const struct row *from, bool keep_on_empty)
{
    struct row merged = {.columns = from->columns, .len = from->len};

    if (from->len == 0)
        return;
    if (into->len == 0 || (!keep_on_empty && into->columns == from->columns)) {
        merged.data = xrealloc(into->data, from->len);
        memcpy(merged.data, from->data, from->len);
    } else {
        merged = merged_of(into, from, keep_on_empty);
        merged.data = xrealloc(merged.data, merged.len);
        free(into->data);
    }
    merged.size = merged.len;
    *into = merged;
}

void
row_free(struct row *row)
{
    free(row->data);
    *row = (struct row){0};
}
