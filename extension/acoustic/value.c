/*
 * acoustic/value.c: writes values in the form that Acoustic reads.
 *
 * Acoustic silently ignores a time in a date column, and rejects a date in a timestamp column. So
 * the two formats must never be mixed up: MM/DD/YYYY and MM/DD/YYYY HH:MM:SS.
 */
#include "extension/base/compat.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "extension/acoustic/value.h"

static char *
put_digits(char *to, int number, int digits)
{
    for (int i = digits - 1; i >= 0; i--, number /= 10)
        to[i] = '0' + number % 10;
    return to + digits;
}

/* By hand, because each row has such values and snprintf() takes long. */
static void
append_date(AcousticText *text, int year, int month, int day)
{
    char *to = text->formatted;

    if (year < 0 || year > 9999) {
        text->length = snprintf(to, sizeof(text->formatted), "%02d/%02d/%04d", month, day, year);
        return;
    }
    to = put_digits(to, month, 2);
    *to++ = '/';
    to = put_digits(to, day, 2);
    *to++ = '/';
    to = put_digits(to, year, 4);
    text->length = to - text->formatted;
}

static void
append_time(AcousticText *text, const struct pg_tm *tm)
{
    char *to = text->formatted + text->length;

    *to++ = ' ';
    to = put_digits(to, tm->tm_hour, 2);
    *to++ = ':';
    to = put_digits(to, tm->tm_min, 2);
    *to++ = ':';
    to = put_digits(to, tm->tm_sec, 2);
    text->length = to - text->formatted;
}

/* Writes nothing for the infinities, because Acoustic does not have them. */
static void
format_timestamp(AcousticText *text, TimestampTz timestamp, bool is_date)
{
    struct pg_tm tm;
    fsec_t fsec;

    text->data = text->formatted;
    text->length = 0;
    /* Without a zone: UTC. */
    if (TIMESTAMP_NOT_FINITE(timestamp) ||
        timestamp2tm(timestamp, NULL, &tm, &fsec, NULL, NULL) != 0)
        return;
    append_date(text, tm.tm_year, tm.tm_mon, tm.tm_mday);
    if (!is_date)
        append_time(text, &tm);
}

static void
format_date(AcousticText *text, DateADT date)
{
    int year, month, day;

    text->data = text->formatted;
    text->length = 0;
    if (DATE_NOT_FINITE(date))
        return;
    j2date(date + POSTGRES_EPOCH_JDATE, &year, &month, &day);
    append_date(text, year, month, day);
}

/* The server reads words such as "now" and "today" as times, but here they are ordinary text. */
static bool
is_relative(char **fields, const int *types, int count)
{
    for (int i = 0; i < count; i++) {
        int value;

        if ((types[i] == DTK_STRING || types[i] == DTK_SPECIAL) &&
            DecodeSpecial(i, fields[i], &value) == RESERV &&
            (value == DTK_NOW || value == DTK_TODAY || value == DTK_TOMORROW ||
             value == DTK_YESTERDAY))
            return true;
    }
    return false;
}

/* Reads a point in time with the server's parser, which raises no errors here. */
static bool
parse_timestamp(const char *text, TimestampTz *timestamp)
{
    char work[MAXDATELEN + MAXDATEFIELDS];
    char *fields[MAXDATEFIELDS];
    int types[MAXDATEFIELDS];
    int field_count, type, zone;
    struct pg_tm tm;
    fsec_t fsec;

    if (ParseDateTime(text, work, sizeof(work), fields, types, MAXDATEFIELDS, &field_count) != 0 ||
        is_relative(fields, types, field_count) ||
        compat_decode_datetime(fields, types, field_count, &type, &tm, &fsec, &zone) != 0)
        return false;
    /* A year outside this range is more likely a number with another meaning. */
    if (type != DTK_DATE || tm.tm_year < 1000 || tm.tm_year > 9999)
        return false;
    return tm2timestamp(&tm, fsec, &zone, timestamp) == 0;
}

void
acoustic_text_set(AcousticText *text, const char *string)
{
    text->data = string;
    text->length = strlen(string);
}

/* Texts of the database hold no null bytes, so the comparison stops where "string" ends. */
bool
acoustic_text_is(const AcousticText *text, const char *string)
{
    return strncmp(string, text->data, text->length) == 0 && string[text->length] == '\0';
}

static void
format_text(AcousticText *to, Datum value, AcousticStyle style)
{
    text *stored = DatumGetTextPP(value);
    TimestampTz timestamp;

    to->data = VARDATA_ANY(stored);
    to->length = VARSIZE_ANY_EXHDR(stored);
    if (style == ACOUSTIC_MAYBE_TIME && parse_timestamp(text_to_cstring(stored), &timestamp))
        format_timestamp(to, timestamp, false);
}

static void
format_integer(AcousticText *text, int64 value)
{
    text->data = text->formatted;
    text->length = pg_lltoa(value, text->formatted);
}

void
acoustic_text_format(AcousticText *text, Datum value, bool is_null, Oid type, AcousticStyle style)
{
    if (is_null) {
        acoustic_text_set(text, style == ACOUSTIC_MINUS_ONE ? "-1" : "");
        return;
    }
    switch (type) {
    case TEXTOID:
    case VARCHAROID: format_text(text, value, style); break;
    case BOOLOID:
        if (style == ACOUSTIC_FLAG)
            acoustic_text_set(text, DatumGetBool(value) ? "1" : "0");
        else
            acoustic_text_set(text, DatumGetBool(value) ? "Yes" : "No");
        break;
    case INT4OID: format_integer(text, DatumGetInt32(value)); break;
    case INT8OID: format_integer(text, DatumGetInt64(value)); break;
    case DATEOID: format_date(text, DatumGetDateADT(value)); break;
    case TIMESTAMPTZOID:
        format_timestamp(text, DatumGetTimestampTz(value), style == ACOUSTIC_DATE);
        break;
    case UUIDOID:
        acoustic_text_set(text, DatumGetCString(DirectFunctionCall1(uuid_out, value)));
        break;
    default: elog(ERROR, "no Acoustic form for values of type %u", type);
    }
}

void
acoustic_text_format_member(AcousticText *text, const JsonbValue *value)
{
    switch (value->type) {
    case jbvString:
        text->data = value->val.string.val;
        text->length = value->val.string.len;
        break;
    case jbvNumeric:
        acoustic_text_set(text, DatumGetCString(DirectFunctionCall1(
                                    numeric_out, NumericGetDatum(value->val.numeric))));
        break;
    case jbvBool: acoustic_text_set(text, value->val.boolean ? "Yes" : "No"); break;
    case jbvBinary:
        acoustic_text_set(text,
                          JsonbToCString(NULL, value->val.binary.data, value->val.binary.len));
        break;
    default: acoustic_text_set(text, "");
    }
}
