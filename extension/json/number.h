/*
 * json/number.h: exact arithmetic on the numbers of a jsonb.
 *
 * Numbers of up to some 16 decimal digits are handled as scaled integers without a call into
 * numeric.c; the others go through numeric.
 */
#ifndef CTMS_JSON_NUMBER_H
#define CTMS_JSON_NUMBER_H

#include "extension/json/value.h"

/* mantissa / 10000^scale; scale is 0 for integers. */
typedef struct JsonDecimal {
    int64 mantissa;
    int32 scale;
} JsonDecimal;

/* Whether the number is small enough for a JsonDecimal, and which one. */
extern bool json_number_to_decimal(JsonValue number, JsonDecimal *decimal);

/* Whether the number has no fraction: 1.0 has none. */
extern bool json_number_is_integer(JsonValue number);

/* Less than, equal to, greater than zero. */
extern int json_number_compare(JsonValue a, JsonValue b);

/* Whether number is divisor times an integer; divisor is not zero. */
extern bool json_number_is_multiple(JsonValue number, JsonValue divisor);

/* The number when it is an integer >= 0; beyond INT64_MAX, INT64_MAX. -1 when it is not. */
extern int64 json_number_to_count(JsonValue number);

extern uint32 json_number_hash(JsonValue number);

#endif
