/*
 * json/text.c: JSON strings, UUIDs, times and dates as text.
 */
#include "extension/base/compat.h"

#include "extension/base/iso_time.h"
#include "extension/json/text.h"

static const char hex_digits[] = "0123456789abcdef";

void
json_answer_begin(StringInfo out)
{
    initStringInfo(out);
    appendStringInfoSpaces(out, VARHDRSZ);
}

Datum
json_answer_end(StringInfo out)
{
    SET_VARSIZE(out->data, out->len);
    return PointerGetDatum(out->data);
}

/* How a byte below 0x20, a quote or a backslash is escaped; 0 where it needs \u00XX. */
static char
short_escape(unsigned char byte)
{
    switch (byte) {
    case '\b': return 'b';
    case '\f': return 'f';
    case '\n': return 'n';
    case '\r': return 'r';
    case '\t': return 't';
    case '"': return '"';
    case '\\': return '\\';
    default: return 0;
    }
}

void
json_text_write(StringInfo out, const char *bytes, int length)
{
    int run_start = 0;

    appendStringInfoCharMacro(out, '"');
    for (int i = 0; i < length; i++) {
        unsigned char byte = bytes[i];
        char escape;

        if (byte >= 0x20 && byte != '"' && byte != '\\')
            continue;
        appendBinaryStringInfo(out, bytes + run_start, i - run_start);
        run_start = i + 1;
        escape = short_escape(byte);
        appendStringInfoCharMacro(out, '\\');
        if (escape != 0) {
            appendStringInfoCharMacro(out, escape);
        } else {
            appendStringInfoString(out, "u00");
            appendStringInfoCharMacro(out, hex_digits[byte >> 4]);
            appendStringInfoCharMacro(out, hex_digits[byte & 15]);
        }
    }
    appendBinaryStringInfo(out, bytes + run_start, length - run_start);
    appendStringInfoCharMacro(out, '"');
}

void
json_text_write_datum(StringInfo out, Datum text_value)
{
    text *value = DatumGetTextPP(text_value);

    json_text_write(out, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
}

void
json_text_write_uuid(StringInfo out, const pg_uuid_t *uuid)
{
    appendStringInfoCharMacro(out, '"');
    for (int i = 0; i < UUID_LEN; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            appendStringInfoCharMacro(out, '-');
        appendStringInfoCharMacro(out, hex_digits[uuid->data[i] >> 4]);
        appendStringInfoCharMacro(out, hex_digits[uuid->data[i] & 15]);
    }
    appendStringInfoCharMacro(out, '"');
}

void
json_text_write_time(StringInfo out, TimestampTz time)
{
    appendStringInfoCharMacro(out, '"');
    iso_time_write(out, time);
    appendStringInfoCharMacro(out, '"');
}

void
json_text_write_date(StringInfo out, DateADT date)
{
    appendStringInfoCharMacro(out, '"');
    iso_date_write(out, date);
    appendStringInfoCharMacro(out, '"');
}
