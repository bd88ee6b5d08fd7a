/*
 * target_number.c: exact arithmetic. The input is two numbers on two lines; the results are
 * compared with those of the type numeric.
 */
#include "test/fuzz/backend/fuzz.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "extension/json/number.h"

/* Longer numbers make numeric itself slow. */
#define MAX_TEXT 400

static bool
read_number(const char *text, JsonValue *value)
{
    size_t length = strlen(text);
    Jsonb *jsonb;

    /* Numbers whose exponent means a hundred thousand digits are left to target_schema.c. */
    for (const char *e = strpbrk(text, "eE"); e && *e; e++)
        if (strlen(e) > 5)
            return false;
    if (length > MAX_TEXT)
        return false;
    jsonb = fuzz_jsonb(text);
    *value = json_value_of_jsonb(jsonb);
    return value->kind == JSON_NUMBER;
}

static Datum
numeric_of(JsonValue number)
{
    return PointerGetDatum(number.data);
}

static bool
is_zero(Datum number)
{
    Datum zero = DirectFunctionCall1(int4_numeric, Int32GetDatum(0));

    return DatumGetBool(DirectFunctionCall2(numeric_eq, number, zero));
}

static void
check_one(JsonValue number)
{
    Datum value = numeric_of(number);
    Datum whole = DirectFunctionCall2(numeric_trunc, value, Int32GetDatum(0));
    bool is_integer = DatumGetBool(DirectFunctionCall2(numeric_eq, value, whole));
    int64 count = json_number_to_count(number);

    FUZZ_CHECK(json_number_is_integer(number) == is_integer);
    if (count >= 0 && count < PG_INT64_MAX)
        FUZZ_CHECK(DatumGetBool(DirectFunctionCall2(
            numeric_eq, value, DirectFunctionCall1(int8_numeric, Int64GetDatum(count)))));
}

static void
check_two(JsonValue a, JsonValue b)
{
    int order = json_number_compare(a, b);
    int expected = DatumGetInt32(DirectFunctionCall2(numeric_cmp, numeric_of(a), numeric_of(b)));

    FUZZ_CHECK((order > 0) == (expected > 0) && (order < 0) == (expected < 0));
    if (order == 0)
        FUZZ_CHECK(json_number_hash(a) == json_number_hash(b));
    if (!is_zero(numeric_of(b)))
        FUZZ_CHECK(json_number_is_multiple(a, b) ==
                   is_zero(DirectFunctionCall2(numeric_mod, numeric_of(a), numeric_of(b))));
}

void
fuzz_number(const char *data, size_t size)
{
    const char *rest;
    size_t rest_size;
    char *first;
    JsonValue a;
    JsonValue b;

    if (memchr(data, '\0', size) || !fuzz_is_text(data, size))
        return;
    first = fuzz_split(data, size, &rest, &rest_size);
    if (!read_number(first, &a) || !read_number(pnstrdup(rest, rest_size), &b))
        return;
    check_one(a);
    check_one(b);
    check_two(a, b);
    check_two(b, a);
}
