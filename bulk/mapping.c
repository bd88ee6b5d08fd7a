/* bulk/mapping.c: see bulk/mapping.h. */
#include "bulk/mapping.h"

#include <stdbool.h>
#include <string.h>

#include "acoustic/xml.h"

static void
append_name(buf *out, const char *name)
{
    buf_append_string(out, "<NAME>");
    acoustic_xml_append_text(out, name);
    buf_append_string(out, "</NAME>");
}

/* Rows of a contact differ in one column beside the contact's. */
static bool
is_key(acoustic_table table, const char *column)
{
    static const char *const keys[] = {NULL, "newsletter_name", "waitlist_name", "product_id"};

    _Static_assert(sizeof(keys) / sizeof(*keys) == ACOUSTIC_TABLES, "every table has its key");
    return strcmp(column, "email_id") == 0 ||
           (keys[table] != NULL && strcmp(column, keys[table]) == 0);
}

/* INFO: of a list or a table. */
static void
append_info(buf *out, const char *kind, long long id)
{
    buf_printf(out,
               "<%s_INFO><ACTION>ADD_AND_UPDATE</ACTION><%s_ID>%lld</%s_ID>"
               "<FILE_TYPE>0</FILE_TYPE><HASHEADERS>true</HASHEADERS></%s_INFO>",
               kind, kind, id, kind, kind);
}

static void
append_keys(buf *out, acoustic_table table, char *const *columns, size_t count)
{
    buf_append_string(out, "<COLUMNS>");
    for (size_t i = 0; i < count; i++) {
        if (!is_key(table, columns[i]))
            continue;
        buf_append_string(out, "<COLUMN>");
        append_name(out, columns[i]);
        buf_append_string(out, "<KEY_COLUMN>true</KEY_COLUMN></COLUMN>");
    }
    buf_append_string(out, "</COLUMNS>");
}

static void
append_columns(buf *out, char *const *columns, size_t count)
{
    buf_append_string(out, "<MAPPING>");
    for (size_t i = 0; i < count; i++) {
        buf_printf(out, "<COLUMN><INDEX>%zu</INDEX>", i + 1);
        append_name(out, columns[i]);
        buf_append_string(out, "<INCLUDE>true</INCLUDE></COLUMN>");
    }
    buf_append_string(out, "</MAPPING>");
}

void
bulk_mapping_append(buf *out, acoustic_table table, long long table_id, char *const *columns,
                    size_t count)
{
    const char *kind = table == ACOUSTIC_MAIN ? "LIST" : "TABLE";

    buf_printf(out, "<%s_IMPORT>", kind);
    append_info(out, kind, table_id);
    if (table == ACOUSTIC_MAIN)
        buf_append_string(out, "<SYNC_FIELDS><SYNC_FIELD><NAME>email_id</NAME></SYNC_FIELD>"
                               "</SYNC_FIELDS>");
    else
        append_keys(out, table, columns, count);
    append_columns(out, columns, count);
    buf_printf(out, "</%s_IMPORT>\n", kind);
}
