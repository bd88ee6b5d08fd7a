/*
 * json/number.c: exact arithmetic on the numbers of a jsonb.
 *
 * The header layout below is the on-disk format of numeric. It cannot change without breaking
 * every database, but numeric.c keeps its declarations private, so it is repeated here.
 */
#include "extension/base/compat.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "extension/json/number.h"

#define DIGIT_BASE 10000
/* Four base-10000 digits and a bit always fit an int64: 10^16 < 2^63. */
#define MAX_DIGITS 4

typedef struct Digits {
    const int16 *digits;
    int n_digits;
    int weight; /* of the first digit: its value counts 10000^weight */
    bool is_negative;
    bool is_special; /* NaN or infinity: not in JSON, but numeric has them */
} Digits;

static inline Digits
read_digits(JsonValue number)
{
    const char *content = VARDATA(number.data);
    uint16 header = *(const uint16 *)content;
    int length = VARSIZE(number.data) - VARHDRSZ;
    Digits result;

    result.is_special = (header & 0xC000) == 0xC000;
    if (header & 0x8000) { /* short form */
        result.is_negative = (header & 0x2000) != 0;
        result.weight = (header & 0x003F) - ((header & 0x0040) ? 0x0040 : 0);
        result.digits = (const int16 *)(content + 2);
        result.n_digits = (length - 2) / 2;
    } else {
        result.is_negative = (header & 0xC000) == 0x4000;
        result.weight = *(const int16 *)(content + 2);
        result.digits = (const int16 *)(content + 4);
        result.n_digits = (length - 4) / 2;
    }
    return result;
}

bool
json_number_to_decimal(JsonValue number, JsonDecimal *decimal)
{
    Digits d = read_digits(number);
    int n_places;
    int64 mantissa = 0;

    if (d.is_special)
        return false;
    if (d.n_digits == 0) {
        decimal->mantissa = 0;
        decimal->scale = 0;
        return true;
    }
    n_places = Max(d.n_digits, d.weight + 1);
    if (n_places > MAX_DIGITS || d.n_digits - d.weight - 1 > MAX_DIGITS)
        return false;
    for (int i = 0; i < n_places; i++)
        mantissa = mantissa * DIGIT_BASE + (i < d.n_digits ? d.digits[i] : 0);
    decimal->mantissa = d.is_negative ? -mantissa : mantissa;
    decimal->scale = n_places - d.weight - 1;
    return true;
}

bool
json_number_has_no_fraction(JsonValue number)
{
    Digits d = read_digits(number);

    /* Stored numerics have no trailing zero digits. */
    return !d.is_special && d.n_digits <= d.weight + 1;
}

static Datum
numeric_of(JsonValue number)
{
    return PointerGetDatum(number.data);
}

int
json_number_compare(JsonValue a, JsonValue b)
{
    JsonDecimal x;
    JsonDecimal y;

    if (json_number_to_decimal(a, &x) && json_number_to_decimal(b, &y) && x.scale == y.scale)
        return (x.mantissa > y.mantissa) - (x.mantissa < y.mantissa);
    return DatumGetInt32(DirectFunctionCall2(numeric_cmp, numeric_of(a), numeric_of(b)));
}

static bool
align_scales(JsonDecimal *x, JsonDecimal *y)
{
    JsonDecimal *low = x->scale < y->scale ? x : y;
    int scale = Max(x->scale, y->scale);

    while (low->scale < scale) {
        if (low->mantissa > PG_INT64_MAX / DIGIT_BASE || low->mantissa < PG_INT64_MIN / DIGIT_BASE)
            return false;
        low->mantissa *= DIGIT_BASE;
        low->scale++;
    }
    return true;
}

bool
json_number_is_multiple(JsonValue number, JsonValue divisor)
{
    JsonDecimal x;
    JsonDecimal y;
    Datum remainder;
    bool is_multiple;

    if (json_number_to_decimal(number, &x) && json_number_to_decimal(divisor, &y) &&
        align_scales(&x, &y))
        return y.mantissa == -1 || x.mantissa % y.mantissa == 0;
    remainder = DirectFunctionCall2(numeric_mod, numeric_of(number), numeric_of(divisor));
    is_multiple = DatumGetBool(DirectFunctionCall2(
        numeric_eq, remainder, DirectFunctionCall1(int4_numeric, Int32GetDatum(0))));
    pfree(DatumGetPointer(remainder));
    return is_multiple;
}

int64
json_number_to_count(JsonValue number)
{
    JsonDecimal decimal;
    Digits d = read_digits(number);

    if (!json_number_is_integer(number) || (d.is_negative && d.n_digits > 0))
        return -1;
    if (json_number_to_decimal(number, &decimal))
        return decimal.mantissa;
    return PG_INT64_MAX;
}

uint32
json_number_hash(JsonValue number)
{
    return DatumGetUInt32(DirectFunctionCall1(hash_numeric, numeric_of(number)));
}
