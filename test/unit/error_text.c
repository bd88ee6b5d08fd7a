/*
 * Error details of the extension as lines for people.
 * uses: cli/error_text.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "cli/error_text.h"

static void
check(const char *detail, const char *expected)
{
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);

    error_text_detail(stream, detail);
    fclose(stream);
    assert_string_equal(text, expected);
    free(text);
}

static void
prints_contact_errors(void **state)
{
    (void)state;
    check("[{\"loc\": [\"body\", \"newsletters\", 0, \"name\"], \"msg\": \"field required\", "
          "\"type\": \"value_error.missing\"}]",
          "  at body.newsletters[0].name: field required\n");
    check("[{\"loc\": [\"body\", 17], \"msg\": \"not JSON\"}, {\"loc\": [\"path\"], \"msg\": "
          "\"bad\"}]",
          "  at body[17]: not JSON\n  at path: bad\n");
}

static void
prints_schema_errors(void **state)
{
    (void)state;
    check("[{\"instanceLocation\": \"/geo\", \"keyword\": \"type\", \"keywordLocation\": "
          "\"/properties/geo/type\", \"error\": \"must be a string\"}]",
          "  at /geo: must be a string (schema: /properties/geo/type)\n");
    check("[{\"instanceLocation\": \"\", \"error\": \"x\"}]", "  at the top: x\n");
    check("[{\"keywordLocation\": \"/type\", \"error\": \"x\"}]", "  at /type: x\n");
}

static void
prints_anything_else(void **state)
{
    (void)state;
    check("Found at \"x\".", "  Found at \"x\".\n");
    check("one\ntwo\n", "  one\n  two\n");
    check("", "");
    check("[not json", "  [not json\n");
    check("[]", "  []\n");
    check("[1]", "  [1]\n");
    check("[{\"a\": 1}]", "  [{\"a\": 1}]\n");
    check("[{\"loc\": 1, \"msg\": \"x\"}]", "  [{\"loc\": 1, \"msg\": \"x\"}]\n");
}

static void
stops_after_twenty(void **state)
{
    char detail[4096] = "[{\"loc\":[1],\"msg\":\"x\"}";
    char expected[4096] = "  at [1]: x\n";

    (void)state;
    for (int i = 1; i < 30; i++)
        strcat(detail, ",{\"loc\":[1],\"msg\":\"x\"}");
    for (int i = 1; i < 20; i++)
        strcat(expected, "  at [1]: x\n");
    strcat(detail, "]");
    strcat(expected, "  and 10 more\n");
    check(detail, expected);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prints_contact_errors),
        cmocka_unit_test(prints_schema_errors),
        cmocka_unit_test(prints_anything_else),
        cmocka_unit_test(stops_after_twenty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
