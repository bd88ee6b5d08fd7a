/*
 * base/iso_time.c: a small reader and writer of ISO 8601 dates and times; see iso_time.h.
 */
#include "extension/base/compat.h"

#include "extension/base/iso_time.h"

#include "utils/datetime.h"
#include "utils/timestamp.h"

/* ---- reading ---------------------------------------------------------------------- */

typedef struct Cursor {
    const char *at;
    const char *end;
} Cursor;

static bool
read_digits(Cursor *cursor, int count, int *value)
{
    *value = 0;
    if (cursor->end - cursor->at < count)
        return false;
    for (; count > 0; count--, cursor->at++) {
        if (*cursor->at < '0' || *cursor->at > '9')
            return false;
        *value = *value * 10 + (*cursor->at - '0');
    }
    return true;
}

static bool
read_char(Cursor *cursor, const char *allowed)
{
    if (cursor->at == cursor->end || *cursor->at == '\0' || strchr(allowed, *cursor->at) == NULL)
        return false;
    cursor->at++;
    return true;
}

static bool
read_date(Cursor *cursor, int *julian_day)
{
    int year, month, day;

    if (!read_digits(cursor, 4, &year) || !read_char(cursor, "-") ||
        !read_digits(cursor, 2, &month) || !read_char(cursor, "-") || !read_digits(cursor, 2, &day))
        return false;
    if (year < 1 || month < 1 || month > 12 || day < 1 || day > day_tab[isleap(year)][month - 1])
        return false;
    *julian_day = date2j(year, month, day);
    return true;
}

/* HH:MM[:SS[.fraction]] as microseconds. 24:00 and leap seconds are not accepted. */
static bool
read_clock(Cursor *cursor, int64 *microseconds)
{
    int hour, minute, second = 0;
    int64 fraction = 0;

    if (!read_digits(cursor, 2, &hour) || !read_char(cursor, ":") ||
        !read_digits(cursor, 2, &minute))
        return false;
    if (read_char(cursor, ":")) {
        if (!read_digits(cursor, 2, &second))
            return false;
        if (read_char(cursor, ".,")) {
            int64 unit = USECS_PER_SEC / 10;
            int digit;

            if (!read_digits(cursor, 1, &digit))
                return false;
            do {
                fraction += digit * unit;
                unit /= 10;
            } while (read_digits(cursor, 1, &digit));
        }
    }
    if (hour > 23 || minute > 59 || second > 59)
        return false;
    *microseconds =
        hour * USECS_PER_HOUR + minute * USECS_PER_MINUTE + second * USECS_PER_SEC + fraction;
    return true;
}

static bool
read_zone(Cursor *cursor, int64 *offset)
{
    bool is_west;
    int hours, minutes = 0;

    *offset = 0;
    if (cursor->at == cursor->end || read_char(cursor, "Zz"))
        return true;
    is_west = *cursor->at == '-';
    if (!read_char(cursor, "+- ") || !read_digits(cursor, 2, &hours))
        return false;
    if (cursor->at != cursor->end) {
        read_char(cursor, ":");
        if (!read_digits(cursor, 2, &minutes))
            return false;
    }
    if (hours > 23 || minutes > 59)
        return false;
    *offset = hours * USECS_PER_HOUR + minutes * USECS_PER_MINUTE;
    if (is_west)
        *offset = -*offset;
    return true;
}

bool
iso_date_read(const char *input, int length, DateADT *date)
{
    Cursor cursor = {input, input + length};
    int julian_day;

    if (!read_date(&cursor, &julian_day) || cursor.at != cursor.end)
        return false;
    *date = julian_day - POSTGRES_EPOCH_JDATE;
    return true;
}

bool
iso_time_read(const char *input, int length, TimestampTz *time)
{
    Cursor cursor = {input, input + length};
    int julian_day;
    int64 clock = 0;
    int64 offset = 0;

    if (!read_date(&cursor, &julian_day))
        return false;
    if (cursor.at != cursor.end && (!read_char(&cursor, "Tt ") || !read_clock(&cursor, &clock) ||
                                    !read_zone(&cursor, &offset)))
        return false;
    if (cursor.at != cursor.end)
        return false;
    *time = (julian_day - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY + clock - offset;
    return true;
}

/* ---- writing ---------------------------------------------------------------------- */

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
iso_date_write(StringInfo out, DateADT date)
{
    int year, month, day;

    if (DATE_NOT_FINITE(date)) {
        appendStringInfoString(out, DATE_IS_NOBEGIN(date) ? "-infinity" : "infinity");
        return;
    }
    j2date(date + POSTGRES_EPOCH_JDATE, &year, &month, &day);
    write_date(out, year, month, day);
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
