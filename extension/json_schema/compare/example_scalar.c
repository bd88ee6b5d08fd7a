/*
 * json_schema/compare/example_scalar.c: makes strings, numbers and other plain values as
 * candidates for an example.
 */
#include "extension/base/compat.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "extension/json/number.h"
#include "extension/json_schema/compare/example.h"

/* How many of the values that one keyword lists are tried. */
#define MAX_LISTED 500
/* The most characters of a string that is made for a bound. */
#define MAX_LENGTH 20000
/* How many divisors and bounds are combined. */
#define MAX_NUMBERS 8

/* Where no schema says anything, the first ones of these are used. */
#define N_ANYTHING 10

static void
put_text(ExampleSet *set, const char *text)
{
    example_put(set, DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text))));
}

/* One small value of each kind, and texts in the usual formats. */
static void
put_common(ExampleSet *set)
{
    static const char *const common[] = {
        "{}",
        "[]",
        "null",
        "true",
        "0",
        "1",
        "0.5",
        "\"\"",
        "\"a\"",
        "false",
        "-1",
        "1.5",
        "\"A\"",
        "\"1\"",
        "\" \"",
        "\"aa\"",
        "\"\\u00fc\"",
        "\"a-b_c\"",
        "\"fr\"",
        "\"en-US\"",
        "\"2020-02-29\"",
        "\"2020-02-29T12:00:00Z\"",
        "\"user@example.com\"",
        "\"https://example.com/\"",
        "\"00000000-0000-4000-8000-000000000000\"",
        "\"192.0.2.1\"",
    };

    for (int i = 0; i < (set->place->hints ? (int)lengthof(common) : N_ANYTHING); i++)
        put_text(set, common[i]);
}

/* ---- strings -------------------------------------------------------------------------- */

static void
put_repeated(ExampleSet *set, const char *unit, int64 characters)
{
    StringInfoData text;

    if (characters < 0 || characters > MAX_LENGTH)
        return;
    initStringInfo(&text);
    for (int64 i = 0; i < characters; i++)
        appendStringInfoString(&text, unit);
    example_put(set, example_string(text.data, text.len));
    pfree(text.data);
}

static void
put_lengths(ExampleSet *set, int64 characters)
{
    characters = Min(characters, PG_INT32_MAX);
    for (int64 n = characters - 1; n <= characters + 1; n++) {
        put_repeated(set, "a", n);
        put_repeated(set, "0", n);
    }
}

static void
put_matches(ExampleSet *set, JsonValue pattern)
{
    ListCell *cell;

    foreach (cell, example_strings_of_pattern(pattern.data, pattern.length)) {
        StringInfo text = lfirst(cell);

        example_put(set, example_string(text->data, text->len));
        appendStringInfoChar(text, '!');
        example_put(set, example_string(text->data, text->len));
        text->data[text->len - 1] = 'x';
        example_put(set, example_string(text->data, text->len));
    }
}

/* ---- numbers ---------------------------------------------------------------------------- */

static Datum
numeric_text(const char *text)
{
    return DirectFunctionCall3(numeric_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid),
                               Int32GetDatum(-1));
}

/* Whether sums and quotients of numbers like this stay small. */
static bool
is_moderate(Datum number)
{
    Datum size = DirectFunctionCall1(numeric_abs, number);

    if (VARSIZE(DatumGetPointer(number)) > 100 ||
        DatumGetBool(DirectFunctionCall2(numeric_gt, size, numeric_text("1e50"))))
        return false;
    return DatumGetBool(DirectFunctionCall2(numeric_gt, size, numeric_text("1e-50"))) ||
           DatumGetBool(DirectFunctionCall2(numeric_eq, size, numeric_text("0")));
}

static void
put_number(ExampleSet *set, Datum number)
{
    JsonbValue value = {.type = jbvNumeric};

    value.val.numeric = DatumGetNumeric(DirectFunctionCall1(numeric_trim_scale, number));
    example_put(set, JsonbValueToJsonb(&value));
}

static void
put_around(ExampleSet *set, JsonValue bound)
{
    static const char *const steps[] = {"1", "-1", "0.5", "-0.5", "0.001", "-0.001"};
    Datum number = PointerGetDatum(bound.data);

    put_number(set, number);
    if (!is_moderate(number))
        return;
    for (int i = 0; i < (int)lengthof(steps); i++)
        put_number(set, DirectFunctionCall2(numeric_add, number, numeric_text(steps[i])));
    put_number(set, DirectFunctionCall1(numeric_floor, number));
    put_number(set, DirectFunctionCall1(numeric_ceil, number));
    put_number(set, DirectFunctionCall1(numeric_uminus, number));
}

/* The multiples of the divisor that are nearest to the bound. */
static void
put_multiples(ExampleSet *set, JsonValue divisor, Datum bound)
{
    Datum step = PointerGetDatum(divisor.data);
    Datum times;

    if (!is_moderate(step) || !is_moderate(bound))
        return;
    times = DirectFunctionCall1(numeric_floor, DirectFunctionCall2(numeric_div, bound, step));
    for (int i = -1; i <= 2; i++) {
        Datum n = DirectFunctionCall2(numeric_add, times,
                                      DirectFunctionCall1(int4_numeric, Int32GetDatum(i)));

        put_number(set, DirectFunctionCall2(numeric_mul, n, step));
    }
}

static void
put_combined(ExampleSet *set, const JsonValue *divisors, int n_divisors, const JsonValue *bounds,
             int n_bounds)
{
    for (int i = 0; i < n_divisors; i++) {
        put_multiples(set, divisors[i], numeric_text("0"));
        put_multiples(set, divisors[i], numeric_text("10"));
        for (int j = 0; j < n_bounds; j++)
            put_multiples(set, divisors[i], PointerGetDatum(bounds[j].data));
        for (int j = 0; j < i; j++)
            if (is_moderate(PointerGetDatum(divisors[i].data)) &&
                is_moderate(PointerGetDatum(divisors[j].data)))
                put_number(set, DirectFunctionCall2(numeric_mul, PointerGetDatum(divisors[i].data),
                                                    PointerGetDatum(divisors[j].data)));
    }
}

/* ---- by keyword -------------------------------------------------------------------------- */

static void
put_listed(ExampleSet *set, JsonValue list)
{
    JsonWalk walk;

    if (list.kind != JSON_ARRAY)
        return;
    walk = json_walk_array(list);
    for (int i = 0; i < MAX_LISTED && !json_walk_ended(&walk); i++)
        if (!example_put(set, json_value_to_jsonb(json_walk_next(&walk))))
            return;
}

/* The divisors and bounds that the schemas name. */
typedef struct Numbers {
    JsonValue divisors[MAX_NUMBERS];
    JsonValue bounds[MAX_NUMBERS];
    int n_divisors;
    int n_bounds;
} Numbers;

static void
put_annotated(ExampleSet *set, const JsonSchemaKeyword *keyword)
{
    if (strcmp(keyword->name, "examples") == 0)
        put_listed(set, keyword->value);
    else if (strcmp(keyword->name, "default") == 0)
        example_put(set, json_value_to_jsonb(keyword->value));
}

static void
put_of_keyword(ExampleSet *set, const JsonSchemaKeyword *keyword, Numbers *numbers)
{
    switch (keyword->kind) {
    case KEYWORD_CONST: example_put(set, json_value_to_jsonb(keyword->value)); return;
    case KEYWORD_ENUM: put_listed(set, keyword->value); return;
    case KEYWORD_MIN_LENGTH:
    case KEYWORD_MAX_LENGTH: put_lengths(set, keyword->count); return;
    case KEYWORD_PATTERN: put_matches(set, keyword->value); return;
    case KEYWORD_MINIMUM:
    case KEYWORD_MAXIMUM:
    case KEYWORD_EXCLUSIVE_MINIMUM:
    case KEYWORD_EXCLUSIVE_MAXIMUM:
        put_around(set, keyword->value);
        if (numbers->n_bounds < MAX_NUMBERS)
            numbers->bounds[numbers->n_bounds++] = keyword->value;
        return;
    case KEYWORD_MULTIPLE_OF:
        put_around(set, keyword->value);
        if (numbers->n_divisors < MAX_NUMBERS)
            numbers->divisors[numbers->n_divisors++] = keyword->value;
        return;
    case KEYWORD_ANNOTATION: put_annotated(set, keyword); return;
    case KEYWORD_TYPE: /* put_common has one of each kind, and of the formats */
    case KEYWORD_FORMAT:
    case ASSERTIONS_ON_ARRAYS:
    case ASSERTIONS_ON_OBJECTS:
    case APPLICATORS_IN_PLACE:
    case APPLICATORS_TO_MEMBERS:
    case APPLICATORS_TO_ITEMS:
    case APPLICATORS_TO_UNEVALUATED: return;
    case COMPILED_AWAY: json_schema_stray_keyword(keyword);
    }
}

void
example_put_scalars(ExampleSet *set)
{
    Numbers numbers = {.n_divisors = 0, .n_bounds = 0};
    ListCell *cell;

    put_common(set);
    foreach (cell, set->place->hints) {
        const JsonSchemaNode *node = lfirst(cell);

        for (int i = 0; i < node->n_keywords; i++)
            put_of_keyword(set, &node->keywords[i], &numbers);
    }
    put_combined(set, numbers.divisors, numbers.n_divisors, numbers.bounds, numbers.n_bounds);
}
