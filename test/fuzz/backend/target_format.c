/*
 * target_format.c: the checks of "format". The first line is the name of the format, the rest is
 * the text.
 */
#include "test/fuzz/backend/fuzz.h"

#include "extension/json_schema/format/format.h"

#define MAX_POINTS 256

/* If Punycode is decoded and encoded again, only the case of letters may differ. */
static void
check_punycode(const char *text, size_t size)
{
    uint32 points[MAX_POINTS];
    char *again = palloc(size);
    int n = format_decode_punycode(text, size, points, MAX_POINTS);
    int length;

    FUZZ_CHECK(n >= -1 && n <= MAX_POINTS);
    if (n <= 0)
        return;
    length = format_encode_punycode(points, n, again, size);
    FUZZ_CHECK(length == -1 ||
               ((size_t)length <= size && pg_strncasecmp(again, text, length) == 0));
}

void
fuzz_format(const char *data, size_t size)
{
    static const int drafts[] = {4, 6, 7, 2019, 2020};
    const char *text;
    size_t length;
    char *name;

    if (!fuzz_is_text(data, size))
        return;
    name = fuzz_split(data, size, &text, &length);
    for (size_t i = 0; i < lengthof(drafts); i++) {
        const JsonSchemaFormat *format = format_find(name, drafts[i]);
        JsonValue value = {text, length, JSON_STRING};

        if (format)
            FUZZ_CHECK(format_holds(format, value) == format_holds(format, value));
    }
    if (strcmp(name, "punycode") == 0)
        check_punycode(text, length);
}
