/*
 * json/number.h: exact arithmetic on the numbers of a jsonb.
 *
 * Numbers of up to about 16 decimal digits are handled as scaled integers, without a call into
 * numeric.c. Larger ones go through numeric.
 */
#ifndef CTMS_JSON_NUMBER_H
#define CTMS_JSON_NUMBER_H

#include "extension/json/value.h"

/* mantissa / 10000^scale; scale is 0 for integers. */
typedef struct JsonDecimal {
    int64 mantissa;
    int32 scale;
} JsonDecimal;

/* Whether the number fits into a JsonDecimal; if so, *decimal is set to it. */
extern bool json_number_to_decimal(JsonValue number, JsonDecimal *decimal);

/* The same as json_number_is_integer(), by the digits. */
extern bool json_number_has_no_fraction(JsonValue number);

/*
 * Whether the number has no fraction: 1.0 has none. The short form of a numeric, which is no NaN
 * and no infinity, has no digit behind the point if its display scale is 0; other numbers are read.
 */
static inline bool
json_number_is_integer(JsonValue number)
{
    uint16 header = *(const uint16 *)VARDATA(number.data);

    return (header & (0xC000 | 0x1F80)) == 0x8000 || json_number_has_no_fraction(number);
}

/*
 * Returns a number less than, equal to or greater than zero, as a is less than, equal to or
 * greater than b.
 */
extern int json_number_compare(JsonValue a, JsonValue b);

/* Whether the number is an integer multiple of the divisor, which must not be zero. */
extern bool json_number_is_multiple(JsonValue number, JsonValue divisor);

/* The value of the number when it is an integer >= 0, at most INT64_MAX; -1 when it is not one. */
extern int64 json_number_to_count(JsonValue number);

extern uint32 json_number_hash(JsonValue number);

#endif
