/*
 * json/text.c: JSON strings, UUIDs, times and dates as text.
 *
 * Stored values that no rule allows today (infinite times, years before Christ) are
 * written all the same: reading never fails.
 */
#include "extension/base/compat.h"

#include "extension/json/text.h"

#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

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

static void
write_digits(StringInfo out, int value, int width)
{
    char digits[12];

    for (int i = width - 1; i >= 0; i--) {
        digits[i] = '0' + value % 10;
        value /= 10;
    }
    appendBinaryStringInfo(out, digits, width);
}

/* The proleptic Gregorian year of ISO 8601: 0000 is 1 BC. */
static void
write_date(StringInfo out, int year, int month, int day)
{
    if (year >= 0 && year <= 9999)
        write_digits(out, year, 4);
    else
        appendStringInfo(out, "%05d", year);
    appendStringInfoCharMacro(out, '-');
    write_digits(out, month, 2);
    appendStringInfoCharMacro(out, '-');
    write_digits(out, day, 2);
}

void
iso_time_write(StringInfo out, TimestampTz time)
{
    struct pg_tm tm;
    fsec_t microseconds;

    if (TIMESTAMP_NOT_FINITE(time) || timestamp2tm(time, NULL, &tm, &microseconds, NULL, NULL)) {
        appendStringInfoString(out, TIMESTAMP_IS_NOBEGIN(time) ? "-infinity" : "infinity");
        return;
    }
    write_date(out, tm.tm_year, tm.tm_mon, tm.tm_mday);
    appendStringInfoCharMacro(out, 'T');
    write_digits(out, tm.tm_hour, 2);
    appendStringInfoCharMacro(out, ':');
    write_digits(out, tm.tm_min, 2);
    appendStringInfoCharMacro(out, ':');
    write_digits(out, tm.tm_sec, 2);
    if (microseconds != 0) {
        appendStringInfoCharMacro(out, '.');
        write_digits(out, microseconds, 6);
    }
    appendStringInfoString(out, "+00:00");
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
    if (DATE_NOT_FINITE(date)) {
        appendStringInfoString(out, DATE_IS_NOBEGIN(date) ? "-infinity" : "infinity");
    } else {
        int year, month, day;

        j2date(date + POSTGRES_EPOCH_JDATE, &year, &month, &day);
        write_date(out, year, month, day);
    }
    appendStringInfoCharMacro(out, '"');
}
