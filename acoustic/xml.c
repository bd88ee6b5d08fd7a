/*
 * acoustic/xml.c: builds the bodies of requests; see acoustic/xml.h. Answers are read in
 * acoustic/answer.c.
 *
 * The XML is written by hand, not by libxml2's writer: most of the work is what must be done to
 * values (see the header), and a contact has about sixty columns.
 */
#include "acoustic/xml.h"

#include <stdint.h>
#include <string.h>

#include "common/utf8.h"

static void
append(buf *out, const char *text)
{
    buf_append(out, text, strlen(text));
}

/* U+FFFE and U+FFFF are valid UTF-8, but not characters of XML. */
static bool
is_noncharacter(const char *text)
{
    return (unsigned char)text[0] == 0xEF && (unsigned char)text[1] == 0xBF &&
           (unsigned char)text[2] >= 0xBE;
}

/* Length of the text at the front that can be copied unchanged. */
static size_t
plain_length(const char *text, size_t length)
{
    size_t i;

    for (i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c == '<' || c == '>' || c == '&' || c == '"' || c < 0x20 || c == 0x7F ||
            (c == 0xEF && i + 2 < length && is_noncharacter(text + i)))
            break;
    }
    return i;
}

static void
append_valid(buf *out, const char *text, size_t length)
{
    size_t at = 0;

    while (at < length) {
        size_t plain = plain_length(text + at, length - at);

        buf_append(out, text + at, plain);
        at += plain;
        if (at == length)
            break;
        switch (text[at]) {
        case '<': append(out, "&lt;"); break;
        case '>': append(out, "&gt;"); break;
        case '&': append(out, "&amp;"); break;
        case '"': append(out, "&quot;"); break;
        case '\t':
        case '\n': buf_append_char(out, text[at]); break;
        case '\r': append(out, "&#13;"); break;
        case '\xEF':
            append(out, "\xEF\xBF\xBD");
            at += 2;
            break;
        default: buf_append_char(out, ' ');
        }
        at++;
    }
}

void
acoustic_xml_append_text(buf *out, const char *text)
{
    size_t length = strlen(text);

    for (;;) {
        size_t valid = utf8_valid_prefix(text, length);

        append_valid(out, text, valid);
        if (valid == length)
            return;
        append(out, "\xEF\xBF\xBD");
        text += valid + 1;
        length -= valid + 1;
    }
}

void
acoustic_xml_append_main_column(buf *out, const char *name, const char *value)
{
    append(out, "<COLUMN><NAME>");
    acoustic_xml_append_text(out, name);
    append(out, "</NAME>");
    if (*value != '\0') {
        append(out, "<VALUE>");
        acoustic_xml_append_text(out, value);
        append(out, "</VALUE>");
    }
    append(out, "</COLUMN>");
}

bool
acoustic_xml_has_main_column(const buf *columns, const char *name)
{
    buf element = BUF_INIT;
    bool is_there;

    append(&element, "<COLUMN><NAME>");
    acoustic_xml_append_text(&element, name);
    append(&element, "</NAME>");
    is_there = columns->length > 0 &&
               memmem(columns->data, columns->length, buf_text(&element), element.length) != NULL;
    buf_free(&element);
    return is_there;
}

/* Appends an element with a name and a text; an empty element if the text is empty. */
static void
append_named(buf *out, const char *element, const char *name, const char *value)
{
    append(out, "<");
    append(out, element);
    append(out, " name=\"");
    acoustic_xml_append_text(out, name);
    if (*value == '\0') {
        append(out, "\"/>");
        return;
    }
    append(out, "\">");
    acoustic_xml_append_text(out, value);
    append(out, "</");
    append(out, element);
    append(out, ">");
}

void
acoustic_xml_append_row_column(buf *out, const char *name, const char *value)
{
    append_named(out, "COLUMN", name, value);
}

void
acoustic_xml_append_key_column(buf *out, const char *name, const char *value)
{
    append_named(out, "KEY_COLUMN", name, value);
}

void
acoustic_xml_add_recipient(buf *out, long long list_id, const char *email_id, const char *columns,
                           size_t length)
{
    buf_printf(out,
               "<Envelope><Body><AddRecipient><LIST_ID>%lld</LIST_ID><CREATED_FROM>3"
               "</CREATED_FROM><UPDATE_IF_FOUND>TRUE</UPDATE_IF_FOUND><SYNC_FIELDS><SYNC_FIELD>"
               "<NAME>email_id</NAME><VALUE>%s</VALUE></SYNC_FIELD></SYNC_FIELDS>",
               list_id, email_id);
    buf_append(out, columns, length);
    append(out, "</AddRecipient></Body></Envelope>");
}

void
acoustic_xml_remove_recipient(buf *out, long long list_id, const char *email_id)
{
    buf_printf(out,
               "<Envelope><Body><RemoveRecipient><LIST_ID>%lld</LIST_ID><COLUMN><NAME>email_id"
               "</NAME><VALUE>%s</VALUE></COLUMN></RemoveRecipient></Body></Envelope>",
               list_id, email_id);
}

static const char *
rows_operation(bool is_deletion)
{
    return is_deletion ? "DeleteRelationalTableData" : "InsertUpdateRelationalTable";
}

void
acoustic_xml_begin_rows(buf *out, long long table_id, bool is_deletion)
{
    buf_printf(out, "<Envelope><Body><%s><TABLE_ID>%lld</TABLE_ID><ROWS>",
               rows_operation(is_deletion), table_id);
}

void
acoustic_xml_append_row(buf *out, const char *columns, size_t length)
{
    append(out, "<ROW>");
    buf_append(out, columns, length);
    append(out, "</ROW>");
}

void
acoustic_xml_end_rows(buf *out, bool is_deletion)
{
    buf_printf(out, "</ROWS></%s></Body></Envelope>", rows_operation(is_deletion));
}
