/*
 * CSV fields: quoted only if they must be; formulas made harmless.
 * uses: cli/csv.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "cli/csv.h"

static void
writes_rows(void **state)
{
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);

    (void)state;
    csv_write_field(stream, "", true);
    csv_write_field(stream, "plain text", false);
    csv_write_field(stream, "a,b", false);
    csv_write_field(stream, "say \"x\"", false);
    csv_end_row(stream);
    csv_write_field(stream, "two\nlines", true);
    csv_write_field(stream, "\r", false);
    csv_end_row(stream);
    fclose(stream);
    assert_string_equal(text, ",plain text,\"a,b\",\"say \"\"x\"\"\"\n\"two\nlines\",\"\r\"\n");
    free(text);
}

static void
keeps_formulas_from_spreadsheets(void **state)
{
    static const char *const texts[] = {"=1+1",    "+1",   "-1+1",   "@x",   "\ttab", "\r",
                                        "\n",      "'=1",  "''+1",   "-",    "-.5",   "-1.",
                                        "-1e",     "-1e+", "-1e+-1", "-1,5", "-1 ",   "'-1",
                                        "\uff1d1", "-x",   "-1-1",   "--1",  "-1e5+1"};
    static const char *const harmless[] = {"",       "1",  "'",    "'o",        " =1",  "a=1",
                                           "\uff1a", "-1", "-1.5", "-12.5E+20", "-0e-1"};
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        rewind(stream);
        csv_write_safe_field(stream, texts[i], true);
        fflush(stream);
        assert_memory_equal(text, "\"'", 2);
        assert_memory_equal(text + 2, texts[i], strlen(texts[i]));
        assert_int_equal(length, strlen(texts[i]) + 3);
        assert_int_equal(text[length - 1], '"');
    }
    for (size_t i = 0; i < sizeof(harmless) / sizeof(*harmless); i++) {
        rewind(stream);
        csv_write_safe_field(stream, harmless[i], true);
        fflush(stream);
        assert_int_equal(length, strlen(harmless[i]));
        assert_memory_equal(text, harmless[i], length);
    }
    rewind(stream);
    csv_write_safe_field(stream, "=\"x\"", false);
    csv_write_safe_field(stream, "a,b", false);
    fclose(stream);
    assert_string_equal(text, ",\"'=\"\"x\"\"\",\"a,b\"");
    free(text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(writes_rows),
                                       cmocka_unit_test(keeps_formulas_from_spreadsheets)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
