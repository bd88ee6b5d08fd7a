/* Tests of the search for addresses that ask to be traced. uses: rest/trace.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "rest/trace.h"

#define MARK "+trace_me_mozilla_"

static void
check(const char *text, const char *expected)
{
    trace t = TRACE_INIT;
    /* Exactly as long as the text, so that a sanitizer sees what is read beyond it. */
    size_t length = strlen(text);
    char *copy = malloc(length + !length);

    for (size_t i = 0; i < length; i++)
        copy[i] = text[i];
    trace_search(&t, copy, length);
    assert_string_equal(buf_text(&t.addresses), expected);
    trace_free(&t);
    free(copy);
}

static void
finds_all_marks(void **state)
{
    (void)state;
    check("", "");
    check("a" MARK "1@x", "a" MARK "1@x");
    check("{\"a\":\"b+trace-me-mozilla-@x\",\"c\": \"d" MARK "@y\"}",
          "b+trace-me-mozilla-@x,d" MARK "@y");
    check("a" MARK "@x a" MARK "@x b" MARK "@x a" MARK "@x", "a" MARK "@x,b" MARK "@x");
    check("a" MARK "@x ab" MARK "@x", "a" MARK "@x,ab" MARK "@x");
    check("\xc3\xab" MARK "@x", "\xc3\xab" MARK "@x");
}

static void
knows_what_is_no_address(void **state)
{
    (void)state;
    check(MARK, "");
    check("a" MARK "1 b@x", "");
    check("a+trace_me-mozilla_1@x", "");
    check("+trace", "");
    check("+trace_me_mozilla", "");
    check("a+trace+trace+trac+trace_me_mozilla_@x", "a+trace+trace+trac+trace_me_mozilla_@x");
}

static void
is_bounded(void **state)
{
    trace t = TRACE_INIT;
    buf text = BUF_INIT, expected = BUF_INIT;

    (void)state;
    for (int i = 0; i < 1000; i++)
        buf_printf(&text, "a%d" MARK "@x ", i);
    for (int i = 0; i < TRACE_ADDRESSES_MAX; i++)
        buf_printf(&expected, "a%d" MARK "@x,", i);
    buf_append_string(&expected, "...");
    trace_search(&t, text.data, text.length);
    trace_search(&t, text.data, text.length);
    assert_string_equal(buf_text(&t.addresses), buf_text(&expected));
    trace_free(&t);

    /* A megabyte of marks is one word, and none of it an address. */
    t = (trace)TRACE_INIT;
    buf_reset(&text);
    for (int i = 0; i < 60000; i++)
        buf_append_string(&text, MARK);
    buf_append_string(&text, "@x");
    trace_search(&t, text.data, text.length);
    assert_string_equal(buf_text(&t.addresses), "");
    trace_free(&t);
    buf_free(&text);
    buf_free(&expected);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_all_marks),
        cmocka_unit_test(knows_what_is_no_address),
        cmocka_unit_test(is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
