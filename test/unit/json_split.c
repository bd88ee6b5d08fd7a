/*
 * Cutting JSON streams: which objects are found, what is refused, and where.
 * uses: cli/json_split.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "cli/json_split.h"

/* All objects of a text joined by "|", then "!" and the error if there is one. */
static void
assert_split(const char *text, size_t length, const char *expected)
{
    FILE *file = fmemopen((void *)(uintptr_t)text, length, "r");
    struct json_split split;
    enum json_split_result result;
    char *found = NULL;
    size_t found_length = 0;
    FILE *out = open_memstream(&found, &found_length);

    json_split_init(&split, file);
    while ((result = json_split_next(&split)) == JSON_SPLIT_OBJECT) {
        assert_int_equal(strlen(split.text), split.length);
        fprintf(out, "%s|", split.text);
    }
    if (result == JSON_SPLIT_INVALID)
        fprintf(out, "!%s", split.error);
    fclose(out);
    assert_string_equal(found, expected);
    free(found);
    /* It stays at the end, or at the error. */
    assert_int_equal(json_split_next(&split), result);
    json_split_free(&split);
    fclose(file);
}

static void
check(const char *text, const char *expected)
{
    assert_split(text, strlen(text), expected);
}

static void
finds_objects(void **state)
{
    (void)state;
    check(" ", "");
    check("{}", "{}|");
    check(" \t\r\n{\"a\": 1}\n", "{\"a\": 1}|");
    check("[]", "");
    check("[{\"a\":[1,{\"b\":2}]} , {\"c\":3}]", "{\"a\":[1,{\"b\":2}]}|{\"c\":3}|");
    check("{\"a\":1}\n{\"b\":2}\n", "{\"a\":1}|{\"b\":2}|");
    check("[{}][{}]{}", "{}|{}|{}|");
}

static void
understands_strings(void **state)
{
    (void)state;
    check("{\"a\":\"}]\"}", "{\"a\":\"}]\"}|");
    check("{\"a\\\"}\":\"\\\\\"}{}", "{\"a\\\"}\":\"\\\\\"}|{}|");
    check("{\"a\":1.10000000000000000001}", "{\"a\":1.10000000000000000001}|");
}

static void
refuses(void **state)
{
    (void)state;
    check("x", "!line 1 has \"x\" where an object or a list of objects belongs");
    check("\n\n3", "!line 3 has \"3\" where an object or a list of objects belongs");
    check("[1]", "!line 1 has \"1\" where an object or a list of objects belongs");
    check("[[{}]]", "!line 1 has \"[\" where an object or a list of objects belongs");
    check("[{} {}]", "{}|!line 1 has \"{\" where an object or a list of objects belongs");
    check("[,{}]", "!line 1 has \",\" where an object or a list of objects belongs");
    check("[{},]", "{}|!line 1 has \"]\" where an object or a list of objects belongs");
    check("[{},,{}]", "{}|!line 1 has \",\" where an object or a list of objects belongs");
    check("{},{}", "{}|!line 1 has \",\" where an object or a list of objects belongs");
    check("]", "!line 1 has \"]\" where an object or a list of objects belongs");
    check("\x01", "!line 1 has \"?\" where an object or a list of objects belongs");
    check("[{}", "{}|!the list does not end");
    check("\n{\"a\":\"}", "!the object that begins in line 2 does not end");
    check("{\"a\":[}", "!the object that begins in line 1 does not end");
    assert_split("{\"a\":\"\0\"}", 9, "!line 1 has a zero byte");
}

static void
has_a_limit(void **state)
{
    size_t length = JSON_SPLIT_MAX + 100;
    char *text = malloc(length + 1);

    (void)state;
    memset(text, ' ', length);
    text[0] = '{';
    text[length - 1] = '}';
    text[length] = '\0';
    check(text, "!the object that begins in line 1 is larger than 16 MiB");
    free(text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_objects),
        cmocka_unit_test(understands_strings),
        cmocka_unit_test(refuses),
        cmocka_unit_test(has_a_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
