/*
 * target_text.c: the readers of JSON text: of bodies, of instances that jsonb refuses, and of
 * objects of Stripe, which may be any bytes.
 *
 * If jsonb's own reader accepts a text, the other readers must read the same value from it. What
 * the last one makes of bytes must be what jsonb accepts.
 */
#include "test/fuzz/backend/fuzz.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "extension/contact/body_parse.h"
#include "extension/json/clean.h"
#include "extension/json/from_text.h"

typedef struct Reading {
    const char *text;
    size_t size;
    Jsonb *result;
} Reading;

static void
read_as_jsonb(void *argument)
{
    Reading *reading = argument;

    reading->result = fuzz_jsonb(reading->text);
}

static void
read_as_body(void *argument)
{
    Reading *reading = argument;

    reading->result = body_parse(cstring_to_text_with_len(reading->text, reading->size));
}

static void
read_as_instance(void *argument)
{
    Reading *reading = argument;
    char *exact;

    DirectFunctionCall1(json_in, CStringGetDatum(reading->text));
    exact = palloc(reading->size);
    memcpy(exact, reading->text, reading->size);
    reading->result = json_from_text(exact, reading->size);
}

/* Leaves out what is not JSON, and values in whose place something else stands. */
static void
read_as_stripe(void *argument)
{
    Reading *reading = argument;
    char *exact = palloc(reading->size + 1);
    StringInfoData clean;

    memcpy(exact + 1, reading->text, reading->size);
    initStringInfo(&clean);
    if (!json_clean(exact + 1, reading->size, &clean))
        return;
    reading->result = json_from_text(clean.data, clean.len);
    FUZZ_CHECK(VARSIZE(reading->result) == VARSIZE(fuzz_jsonb(clean.data)));
    if (strstr(clean.data, JSON_UNREADABLE))
        reading->result = NULL;
}

static bool
is_same(const Jsonb *a, const Jsonb *b)
{
    return VARSIZE(a) == VARSIZE(b) && memcmp(a, b, VARSIZE(a)) == 0;
}

void
fuzz_text(const char *data, size_t size)
{
    Reading reading = {NULL, size, NULL};
    Reading other;

    other = (Reading){data, size, NULL};
    FUZZ_CHECK(fuzz_try(read_as_stripe, &other, 5000) != FUZZ_REFUSED);
    if (memchr(data, '\0', size) || !fuzz_is_text(data, size))
        return;
    reading.text = pnstrdup(data, size);
    if (fuzz_try(read_as_jsonb, &reading, 5000) == FUZZ_DONE && other.result)
        FUZZ_CHECK(is_same(other.result, reading.result));
    other = reading;
    if (fuzz_try(read_as_body, &other, 5000) == FUZZ_DONE && reading.result)
        FUZZ_CHECK(is_same(other.result, reading.result));
    other = reading;
    if (fuzz_try(read_as_instance, &other, 5000) == FUZZ_DONE && reading.result)
        FUZZ_CHECK(is_same(other.result, reading.result));
}
