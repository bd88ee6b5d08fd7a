/*
 * mapping.c: reads a mapping file with libxml2; see mapping.h.
 */
#include "test/acoustic-sandbox/mapping.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libxml/parser.h>
#include <libxml/tree.h>

#include "common/buf.h"

enum { MAX_BYTES = 1024 * 1024 };

static bool __attribute__((format(printf, 2, 3)))
fail(struct mapping *mapping, const char *format, ...)
{
    va_list args;

    if (mapping->problem[0] == '\0') {
        va_start(args, format);
        vsnprintf(mapping->problem, sizeof(mapping->problem), format, args);
        va_end(args);
    }
    return false;
}

/* ---- elements --------------------------------------------------------------------- */

static bool
is(const xmlNode *node, const char *name)
{
    return node->type == XML_ELEMENT_NODE && strcmp((const char *)node->name, name) == 0;
}

static const xmlNode *
child_of(const xmlNode *parent, const char *name)
{
    const xmlNode *child = parent ? parent->children : NULL;

    while (child != NULL && !is(child, name))
        child = child->next;
    return child;
}

/* The text of a child, without its blanks; empty when there is none. */
static void
read_text(const xmlNode *parent, const char *name, char *text, size_t size)
{
    const xmlNode *child = child_of(parent, name);
    xmlChar *content = child ? xmlNodeGetContent(child) : NULL;
    const char *from = content ? (const char *)content : "";
    size_t length;

    from += strspn(from, " \t\r\n");
    length = strnlen(from, size - 1);
    while (length > 0 && strchr(" \t\r\n", from[length - 1]))
        length--;
    memcpy(text, from, length);
    text[length] = '\0';
    xmlFree(content);
}

static bool
text_is(struct mapping *mapping, const xmlNode *parent, const char *name, const char *expected)
{
    char text[64];

    read_text(parent, name, text, sizeof(text));
    if (strcmp(text, expected) == 0)
        return true;
    return fail(mapping, "%s must be %s", name, expected);
}

/* Whether the element has children of these names only, each at most once, except for COLUMN and
 * SYNC_FIELD. The names end with null. */
static bool
has_only(struct mapping *mapping, const xmlNode *parent, const char *const *names)
{
    for (const xmlNode *child = parent->children; child != NULL; child = child->next) {
        size_t i = 0;

        if (child->type == XML_COMMENT_NODE || xmlIsBlankNode((xmlNode *)child))
            continue;
        while (names[i] != NULL && !is(child, names[i]))
            i++;
        if (names[i] == NULL)
            return fail(mapping, "%s has a %s, which is not known", parent->name, child->name);
        if (child_of(parent, names[i]) != child && !is(child, "COLUMN") && !is(child, "SYNC_FIELD"))
            return fail(mapping, "%s has more than one %s", parent->name, child->name);
    }
    return true;
}

/* ---- parts ------------------------------------------------------------------------ */

static bool
read_info(struct mapping *mapping, const struct settings *settings, const xmlNode *info)
{
    static const char *const list_names[] = {"ACTION", "LIST_ID", "FILE_TYPE", "HASHEADERS", NULL};
    static const char *const table_names[] = {"ACTION", "TABLE_ID", "FILE_TYPE", "HASHEADERS",
                                              NULL};
    const char *id_name = mapping->is_list ? "LIST_ID" : "TABLE_ID";
    enum table table;
    char id[32];

    if (info == NULL)
        return fail(mapping, "%s is missing", mapping->is_list ? "LIST_INFO" : "TABLE_INFO");
    read_text(info, id_name, id, sizeof(id));
    table = settings_find_table(settings, id);
    if (table == TABLE_COUNT)
        return fail(mapping, "%s %s does not exist", id_name, id);
    mapping->table = table;
    if (mapping->is_list != (table == TABLE_MAIN))
        return fail(mapping, "%s %s is of the other kind", id_name, id);
    return has_only(mapping, info, mapping->is_list ? list_names : table_names) &&
           text_is(mapping, info, "ACTION", "ADD_AND_UPDATE") &&
           text_is(mapping, info, "FILE_TYPE", "0") && text_is(mapping, info, "HASHEADERS", "true");
}

/* A list finds its recipients by email_id. */
static bool
read_sync_fields(struct mapping *mapping, const xmlNode *fields)
{
    static const char *const names[] = {"SYNC_FIELD", NULL};
    static const char *const field_names[] = {"NAME", NULL};
    int count = 0;

    if (fields == NULL || !has_only(mapping, fields, names))
        return fail(mapping, "SYNC_FIELDS is missing");
    for (const xmlNode *field = fields->children; field != NULL; field = field->next) {
        if (!is(field, "SYNC_FIELD"))
            continue;
        if (!has_only(mapping, field, field_names))
            return false;
        if (++count > 1 || !text_is(mapping, field, "NAME", "email_id"))
            return fail(mapping, "SYNC_FIELDS must be email_id alone");
    }
    return count == 1 || fail(mapping, "SYNC_FIELDS is empty");
}

static const struct mapping_column *
find_column(const struct mapping *mapping, const char *name)
{
    for (size_t i = 0; i < mapping->column_count; i++) {
        if (mapping->columns[i].name != NULL && strcmp(mapping->columns[i].name, name) == 0)
            return &mapping->columns[i];
    }
    return NULL;
}

static bool
read_column(struct mapping *mapping, const xmlNode *node)
{
    static const char *const names[] = {"INDEX", "NAME", "INCLUDE", NULL};
    char index_text[16], name[128], include[16];
    struct mapping_column *column;
    long index;
    char *end;

    if (!has_only(mapping, node, names))
        return false;
    read_text(node, "INDEX", index_text, sizeof(index_text));
    read_text(node, "NAME", name, sizeof(name));
    read_text(node, "INCLUDE", include, sizeof(include));
    index = strtol(index_text, &end, 10);
    if (*index_text == '\0' || *end != '\0' || index < 1 || index > MAPPING_MAX_COLUMNS)
        return fail(mapping, "INDEX of %s is out of range", name);
    if (*name == '\0' || find_column(mapping, name) != NULL)
        return fail(mapping, "NAME %s is missing or there twice", name);
    if (strcmp(include, "true") != 0 && strcmp(include, "false") != 0)
        return fail(mapping, "INCLUDE of %s must be true or false", name);
    column = &mapping->columns[index - 1];
    if (column->name != NULL)
        return fail(mapping, "INDEX %ld is there twice", index);
    *column = (struct mapping_column){xstrdup(name), strcmp(include, "true") == 0};
    if ((size_t)index > mapping->column_count)
        mapping->column_count = (size_t)index;
    return true;
}

static bool
read_mapping(struct mapping *mapping, const xmlNode *node)
{
    static const char *const names[] = {"COLUMN", NULL};

    if (node == NULL || !has_only(mapping, node, names))
        return fail(mapping, "MAPPING is missing");
    mapping->columns = xcalloc(MAPPING_MAX_COLUMNS, sizeof(*mapping->columns));
    for (const xmlNode *column = node->children; column != NULL; column = column->next) {
        if (is(column, "COLUMN") && !read_column(mapping, column))
            return false;
    }
    for (size_t i = 0; i < mapping->column_count; i++) {
        if (mapping->columns[i].name == NULL)
            return fail(mapping, "INDEX %zu is missing", i + 1);
    }
    return mapping->column_count > 0 || fail(mapping, "MAPPING is empty");
}

/* The columns that identify a row must be in the file, or no row can be stored. */
static bool
check_included(struct mapping *mapping, const char *name)
{
    const struct mapping_column *column = find_column(mapping, name);

    return (column != NULL && column->is_included) ||
           fail(mapping, "%s is not in MAPPING, or not included", name);
}

/* COLUMNS describes a table: which columns identify a row. It may have the others too. */
static bool
check_table_columns(struct mapping *mapping, const xmlNode *columns)
{
    static const char *const names[] = {"COLUMN", NULL};
    static const char *const column_names[] = {"NAME", "TYPE", "IS_REQUIRED", "KEY_COLUMN", NULL};
    const char *key = store_table_keys[mapping->table];
    int keys = 0;

    if (columns == NULL || !has_only(mapping, columns, names))
        return fail(mapping, "COLUMNS is missing");
    for (const xmlNode *column = columns->children; column != NULL; column = column->next) {
        char name[128], is_key[16];
        bool must_be_key;

        if (!is(column, "COLUMN"))
            continue;
        if (!has_only(mapping, column, column_names))
            return false;
        read_text(column, "NAME", name, sizeof(name));
        read_text(column, "KEY_COLUMN", is_key, sizeof(is_key));
        must_be_key = strcmp(name, "email_id") == 0 || strcmp(name, key) == 0;
        if ((strcmp(is_key, "true") == 0) != must_be_key)
            return fail(mapping, "KEY_COLUMN of %s is wrong", name);
        if (find_column(mapping, name) == NULL)
            return fail(mapping, "%s of COLUMNS is not in MAPPING", name);
        keys += must_be_key;
    }
    return keys == 2 || fail(mapping, "COLUMNS does not have both key columns, each once");
}

/* ---- the file --------------------------------------------------------------------- */

static bool
read_root(struct mapping *mapping, const struct settings *settings, const xmlNode *root)
{
    static const char *const list_names[] = {"LIST_INFO", "SYNC_FIELDS", "MAPPING", NULL};
    static const char *const table_names[] = {"TABLE_INFO", "COLUMNS", "MAPPING", NULL};

    mapping->is_list = is(root, "LIST_IMPORT");
    if (!mapping->is_list && !is(root, "TABLE_IMPORT"))
        return fail(mapping, "%s is neither LIST_IMPORT nor TABLE_IMPORT", root->name);
    if (!has_only(mapping, root, mapping->is_list ? list_names : table_names) ||
        !read_info(mapping, settings,
                   child_of(root, mapping->is_list ? "LIST_INFO" : "TABLE_INFO")) ||
        !read_mapping(mapping, child_of(root, "MAPPING")) || !check_included(mapping, "email_id"))
        return false;
    if (mapping->is_list)
        return read_sync_fields(mapping, child_of(root, "SYNC_FIELDS"));
    return check_included(mapping, store_table_keys[mapping->table]) &&
           check_table_columns(mapping, child_of(root, "COLUMNS"));
}

/* The whole file, or null. */
static char *
read_file(const char *path, size_t *length)
{
    FILE *file = fopen(path, "rbe");
    char *text = NULL;

    if (file == NULL)
        return NULL;
    text = xmalloc(MAX_BYTES);
    *length = fread(text, 1, MAX_BYTES, file);
    if (ferror(file) || *length == MAX_BYTES) {
        free(text);
        text = NULL;
    }
    fclose(file);
    return text;
}

void
mapping_read(struct mapping *mapping, const struct settings *settings, const char *path)
{
    size_t length;
    char *text = read_file(path, &length);
    xmlDoc *doc = NULL;

    *mapping = (struct mapping){.table = TABLE_COUNT};
    if (text == NULL) {
        fail(mapping, "the mapping file does not exist or cannot be read");
        return;
    }
    doc = xmlReadMemory(text, (int)length, NULL, NULL,
                        XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    free(text);
    if (doc == NULL || doc->intSubset != NULL)
        fail(mapping, "the mapping file is not XML");
    else
        read_root(mapping, settings, xmlDocGetRootElement(doc));
    xmlFreeDoc(doc);
}

void
mapping_free(struct mapping *mapping)
{
    for (size_t i = 0; mapping->columns != NULL && i < MAPPING_MAX_COLUMNS; i++)
        free(mapping->columns[i].name);
    free(mapping->columns);
    *mapping = (struct mapping){0};
}
