/*
 * base/unix_time.c: reads times that are numbers; see unix_time.h.
 *
 * A number is divided by thousand by moving its point, so nothing is rounded.
 */
#include "extension/base/compat.h"

#include "extension/base/unix_time.h"

#include "datatype/timestamp.h"

/* Larger numbers are not seconds. It has this many digits. */
#define MOST_SECONDS INT64CONST(20000000000)
#define MOST_DIGITS 11
/* Divisions by thousand: from nanoseconds to seconds. */
#define MAX_DIVISIONS 3

/* Digits without a point, leading zeros or sign. */
typedef struct Digits {
    const char *whole;
    int whole_count;
    const char *fraction;
    int fraction_count;
} Digits;

static int
count_digits(const char *at, const char *end)
{
    const char *start = at;

    while (at < end && *at >= '0' && *at <= '9')
        at++;
    return (int)(at - start);
}

static bool
read_digits(const char *at, const char *end, Digits *digits)
{
    digits->whole = at;
    digits->whole_count = count_digits(at, end);
    at += digits->whole_count;
    digits->fraction = at;
    digits->fraction_count = 0;
    if (digits->whole_count == 0)
        return false;
    for (; digits->whole_count > 0 && *digits->whole == '0'; digits->whole++)
        digits->whole_count--;
    if (at == end)
        return true;
    if (*at++ != '.')
        return false;
    digits->fraction = at;
    digits->fraction_count = count_digits(at, end);
    return digits->fraction_count > 0 && at + digits->fraction_count == end;
}

/* The first digits as a number, zeros after the last one. */
static int64
leading(const Digits *digits, int count)
{
    int64 number = 0;

    for (int i = 0; i < count; i++) {
        int in_fraction = i - digits->whole_count;
        char digit = in_fraction < 0                        ? digits->whole[i]
                     : in_fraction < digits->fraction_count ? digits->fraction[in_fraction]
                                                            : '0';

        number = number * 10 + (digit - '0');
    }
    return number;
}

static bool
has_digit_after(const Digits *digits, int count)
{
    for (int i = count; i < digits->whole_count; i++)
        if (digits->whole[i] != '0')
            return true;
    for (int i = 0; i < digits->fraction_count; i++)
        if (digits->fraction[i] != '0')
            return true;
    return false;
}

bool
unix_time_read(const char *input, int length, TimestampTz *time)
{
    const char *end = input + length;
    bool is_negative = length > 0 && *input == '-';
    Digits digits;
    int places; /* digits before the point */
    int64 microseconds;

    if (length > 0 && (*input == '-' || *input == '+'))
        input++;
    if (!read_digits(input, end, &digits))
        return false;
    places = digits.whole_count;
    for (int divisions = 0;; divisions++) {
        bool is_more = places > MOST_DIGITS;

        if (places == MOST_DIGITS)
            is_more =
                leading(&digits, places) > MOST_SECONDS ||
                (leading(&digits, places) == MOST_SECONDS && has_digit_after(&digits, places));
        if (!is_more)
            break;
        if (divisions == MAX_DIVISIONS)
            return false;
        places -= 3;
    }
    microseconds = leading(&digits, places + 6);
    *time = (is_negative ? -microseconds : microseconds) -
            (int64)(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
    return true;
}
