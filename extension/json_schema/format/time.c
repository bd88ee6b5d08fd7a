/*
 * json_schema/format/time.c: dates, times and durations of RFC 3339.
 */
#include "extension/base/compat.h"

#include "extension/json_schema/format/format.h"

/* The rest of the text. */
typedef struct Rest {
    const char *at;
    const char *end;
} Rest;

/* Reads exactly n digits; -1 when they are not there. */
static int
take_number(Rest *rest, int n)
{
    int value = 0;

    if (rest->end - rest->at < n)
        return -1;
    for (int i = 0; i < n; i++) {
        char c = rest->at[i];

        if (c < '0' || c > '9')
            return -1;
        value = value * 10 + (c - '0');
    }
    rest->at += n;
    return value;
}

static bool
take(Rest *rest, const char *any_of)
{
    if (rest->at >= rest->end || *rest->at == '\0' || !strchr(any_of, *rest->at))
        return false;
    rest->at++;
    return true;
}

static bool
take_date(Rest *rest)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year = take_number(rest, 4);
    int month;
    int day;
    bool is_leap;

    if (year < 0 || !take(rest, "-") || (month = take_number(rest, 2)) < 1 || month > 12 ||
        !take(rest, "-") || (day = take_number(rest, 2)) < 1)
        return false;
    is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return day <= days[month - 1] + (month == 2 && is_leap);
}

/* A leap second must be the last second of a day in UTC. */
static bool
take_time(Rest *rest)
{
    int hour = take_number(rest, 2);
    int minute;
    int second;
    int offset = 0;
    bool is_ahead;

    if (hour < 0 || hour > 23 || !take(rest, ":") || (minute = take_number(rest, 2)) < 0 ||
        minute > 59 || !take(rest, ":") || (second = take_number(rest, 2)) < 0 || second > 60)
        return false;
    if (take(rest, ".")) {
        if (take_number(rest, 1) < 0)
            return false;
        while (take_number(rest, 1) >= 0)
            ;
    }
    if (!take(rest, "Zz")) {
        int hours;
        int minutes;

        is_ahead = rest->at < rest->end && *rest->at == '+';
        if (!take(rest, "+-") || (hours = take_number(rest, 2)) < 0 || hours > 23 ||
            !take(rest, ":") || (minutes = take_number(rest, 2)) < 0 || minutes > 59)
            return false;
        offset = (hours * 60 + minutes) * (is_ahead ? -1 : 1);
    }
    return second < 60 || (hour * 60 + minute + offset + 2 * 1440) % 1440 == 1439;
}

bool
format_date(const char *text, uint32 length)
{
    Rest rest = {text, text + length};

    return take_date(&rest) && rest.at == rest.end;
}

bool
format_time(const char *text, uint32 length)
{
    Rest rest = {text, text + length};

    return take_time(&rest) && rest.at == rest.end;
}

bool
format_date_time(const char *text, uint32 length)
{
    Rest rest = {text, text + length};

    return take_date(&rest) && take(&rest, "Tt") && take_time(&rest) && rest.at == rest.end;
}

/*
 * Numbers followed by units, in this order; no unit between two others may be left out. *n_taken
 * counts them.
 */
static bool
take_parts(Rest *rest, const char *units, int *n_taken)
{
    const char *unit = NULL;

    while (rest->at < rest->end && *rest->at >= '0' && *rest->at <= '9') {
        const char *found;

        while (take_number(rest, 1) >= 0)
            ;
        if (rest->at == rest->end || *rest->at == '\0' || !(found = strchr(units, *rest->at)) ||
            (unit && found != unit + 1))
            return false;
        unit = found;
        rest->at++;
        (*n_taken)++;
    }
    return true;
}

bool
format_duration(const char *text, uint32 length)
{
    Rest rest = {text, text + length};
    int n_dates = 0;
    int n_times = 0;

    if (!take(&rest, "P"))
        return false;
    if (length > 2 && text[length - 1] == 'W') {
        while (take_number(&rest, 1) >= 0)
            ;
        return rest.at == rest.end - 1;
    }
    if (!take_parts(&rest, "YMD", &n_dates))
        return false;
    if (take(&rest, "T") && (!take_parts(&rest, "HMS", &n_times) || n_times == 0))
        return false;
    return n_dates + n_times > 0 && rest.at == rest.end;
}
