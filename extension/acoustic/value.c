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
#include "utils/json.h"
#include "utils/timestamp.h"

#include "extension/acoustic/value.h"

/* The longest text that this file formats itself. */
#define FORMATTED_LENGTH 64

static void
format_date(char *to, int year, int month, int day)
{
    snprintf(to, FORMATTED_LENGTH, "%02d/%02d/%04d", month, day, year);
}

/* Writes nothing for the infinities, because Acoustic does not have them. */
static void
format_timestamp(char *to, TimestampTz timestamp, bool is_date)
{
    struct pg_tm tm;
    fsec_t fsec;
    size_t length;

    to[0] = '\0';
    /* Without a zone: UTC. */
    if (TIMESTAMP_NOT_FINITE(timestamp) ||
        timestamp2tm(timestamp, NULL, &tm, &fsec, NULL, NULL) != 0)
        return;
    format_date(to, tm.tm_year, tm.tm_mon, tm.tm_mday);
    if (is_date)
        return;
    length = strlen(to);
    snprintf(to + length, FORMATTED_LENGTH - length, " %02d:%02d:%02d", tm.tm_hour, tm.tm_min,
             tm.tm_sec);
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

static void
append_name(StringInfo json, const char *name)
{
    if (json->data[json->len - 1] != '{')
        appendStringInfoChar(json, ',');
    escape_json(json, name);
    appendStringInfoChar(json, ':');
}

void
acoustic_append_text_field(StringInfo json, const char *name, const char *value)
{
    append_name(json, name);
    escape_json(json, value);
}

void
acoustic_append_field(StringInfo json, const char *name, Datum value, bool is_null, Oid type,
                      AcousticStyle style)
{
    char formatted[FORMATTED_LENGTH] = "";
    const char *shown = formatted;
    TimestampTz timestamp;
    int year, month, day;

    if (is_null) {
        acoustic_append_text_field(json, name, style == ACOUSTIC_MINUS_ONE ? "-1" : "");
        return;
    }
    switch (type) {
    case TEXTOID:
    case VARCHAROID:
        shown = TextDatumGetCString(value);
        if (style == ACOUSTIC_MAYBE_TIME && parse_timestamp(shown, &timestamp)) {
            format_timestamp(formatted, timestamp, false);
            shown = formatted;
        }
        break;
    case BOOLOID:
        if (style == ACOUSTIC_FLAG)
            shown = DatumGetBool(value) ? "1" : "0";
        else
            shown = DatumGetBool(value) ? "Yes" : "No";
        break;
    case INT4OID: snprintf(formatted, sizeof(formatted), "%d", DatumGetInt32(value)); break;
    case INT8OID: snprintf(formatted, sizeof(formatted), INT64_FORMAT, DatumGetInt64(value)); break;
    case DATEOID:
        if (!DATE_NOT_FINITE(DatumGetDateADT(value))) {
            j2date(DatumGetDateADT(value) + POSTGRES_EPOCH_JDATE, &year, &month, &day);
            format_date(formatted, year, month, day);
        }
        break;
    case TIMESTAMPTZOID:
        format_timestamp(formatted, DatumGetTimestampTz(value), style == ACOUSTIC_DATE);
        break;
    case UUIDOID: shown = DatumGetCString(DirectFunctionCall1(uuid_out, value)); break;
    default: elog(ERROR, "no Acoustic form for values of type %u", type);
    }
    acoustic_append_text_field(json, name, shown);
}

char *
acoustic_json_member_text(const JsonbValue *value)
{
    switch (value->type) {
    case jbvString: return pnstrdup(value->val.string.val, value->val.string.len);
    case jbvNumeric:
        return DatumGetCString(
            DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
    case jbvBool: return pstrdup(value->val.boolean ? "Yes" : "No");
    case jbvBinary: return JsonbToCString(NULL, value->val.binary.data, value->val.binary.len);
    default: return pstrdup("");
    }
}
