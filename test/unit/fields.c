/*
 * Tests of agent/fields.c: flat JSON objects, and texts that are not flat objects.
 *
 * uses: agent/fields.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <jansson.h>

#include "agent/fields.h"

/* The fields as "name=value;...", or null when the text is not a flat object. */
static char *
walk(const char *json, size_t length)
{
    buf out = BUF_INIT;
    fields f;

    fields_begin(&f, json, length);
    while (fields_next(&f))
        buf_printf(&out, "%s=%s;", buf_text(&f.name), buf_text(&f.value));
    if (fields_end(&f))
        return buf_steal(&out);
    buf_free(&out);
    return NULL;
}

static void
gives(const char *json, const char *expected)
{
    char *found = walk(json, strlen(json));

    if (found == NULL)
        fail_msg("refused: %s", json);
    assert_string_equal(found, expected);
    free(found);
}

static void
refuses(const char *json)
{
    char *found = walk(json, strlen(json));

    if (found != NULL)
        fail_msg("taken: %s", json);
}

static void
walks_in_order(void **state)
{
    (void)state;
    gives("{}", "");
    gives(" { } \n", "");
    gives("{\"b\": \"1\", \"a\" : \"\"}", "b=1;a=;");
    gives("{\"a\":null,\"b\":-1.5e3,\"c\":true,\"d\":false}", "a=;b=-1.5e3;c=true;d=false;");
    gives("{\"a\":\"null\",\"a\":\"2\"}", "a=null;a=2;");
    gives("{\"\":\"{[,:]}\"}", "={[,:]};");
}

static void
reads_escapes(void **state)
{
    (void)state;
    gives("{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}", "a=\"\\/\b\f\n\r\t;");
    gives("{\"\\u0061\":\"\\u00eb\\u20AC\\ud83d\\ude00 \xC3\xAB\"}",
          "a=\xC3\xAB\xE2\x82\xAC\xF0\x9F\x98\x80 \xC3\xAB;");
    refuses("{\"a\":\"\\u0000\"}");
    refuses("{\"a\":\"\\ud83d\"}");
    refuses("{\"a\":\"\\ud83d\\u0041\"}");
    refuses("{\"a\":\"\\ude00\"}");
    refuses("{\"a\":\"\\u12g4\"}");
    refuses("{\"a\":\"\\u12");
    refuses("{\"a\":\"\\x\"}");
    refuses("{\"a\":\"\\");
}

static void
refuses_what_is_no_flat_object(void **state)
{
    static const char *const texts[] = {"",
                                        " ",
                                        "null",
                                        "[]",
                                        "\"a\"",
                                        "{",
                                        "{\"a\"",
                                        "{\"a\":",
                                        "{\"a\":\"1\"",
                                        "{\"a\":\"1\",",
                                        "{\"a\":\"1\",}",
                                        "{,}",
                                        "{\"a\" \"1\"}",
                                        "{\"a\":\"1\" \"b\":\"2\"}",
                                        "{a:\"1\"}",
                                        "{\"a\":}",
                                        "{\"a\":[]}",
                                        "{\"a\":{}}",
                                        "{\"a\":\"1\"}}",
                                        "{\"a\":\"1\"} x",
                                        "{\"a\":\"1\n2\"}",
                                        "{\"a\":\"1}"};

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        refuses(texts[i]);
}

/* Texts that are cut off or changed do no harm. What jansson refuses is refused too, except for a
 * few things that need not be told apart: words, numbers and encodings. */
static void
survives_damage(void **state)
{
    static const char good[] = "{\"na\\u0062me\": \"v\\\\al\\ud83d\\ude00ue\", \"n\": null, "
                               "\"x\": 12}";
    char damaged[sizeof(good)];

    (void)state;
    for (size_t length = 0; length < sizeof(good) - 1; length++)
        assert_null(walk(good, length));
    for (size_t at = 0; at < sizeof(good) - 1; at++) {
        for (int byte = 1; byte < 0x80; byte++) {
            char *found;

            memcpy(damaged, good, sizeof(good));
            damaged[at] = (char)byte;
            found = walk(damaged, sizeof(good) - 1);
            if (found == NULL) {
                json_t *json = json_loadb(damaged, sizeof(good) - 1, JSON_ALLOW_NUL, NULL);
                json_t *value;
                const char *name;
                bool is_flat = json_is_object(json);

                json_object_foreach(json, name, value) is_flat =
                    is_flat && !json_is_object(value) && !json_is_array(value);
                if (is_flat && strstr(damaged, "\\u0000") == NULL)
                    fail_msg("refused: %s", damaged);
                json_decref(json);
            }
            free(found);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(walks_in_order),
        cmocka_unit_test(reads_escapes),
        cmocka_unit_test(refuses_what_is_no_flat_object),
        cmocka_unit_test(survives_damage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
