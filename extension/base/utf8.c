/*
 * base/utf8.c: converts between UTF-8 and the encoding of the database.
 */
#include "extension/base/compat.h"

#include "mb/pg_wchar.h"

#include "extension/base/utf8.h"

const char *
utf8_of_server(const char *text, uint32 *length)
{
    char *converted;

    if (GetDatabaseEncoding() == PG_UTF8 || *length == 0)
        return text;
    converted = pg_server_to_any(text, *length, PG_UTF8);
    if (converted != text)
        *length = strlen(converted);
    return converted;
}

void
utf8_append_to_server(StringInfo out, uint32 code_point)
{
    unsigned char bytes[MAX_UNICODE_EQUIVALENT_STRING + 1];

    if (code_point == 0) {
        appendStringInfoChar(out, '\0');
        return;
    }
    pg_unicode_to_server(code_point, bytes);
    appendStringInfoString(out, (const char *)bytes);
}
