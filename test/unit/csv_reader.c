/*
 * CSV as spreadsheets, databases and people write it; line numbers as an editor shows them.
 * uses: common/csv_reader.c common/utf8.c common/buf.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "common/csv_reader.h"

/* What is read of a text: "LINE[cell|cell]" for each row, "LINE!PROBLEM@CELL" for a bad one. */
static void
expect_bytes(const char *text, size_t length, const char *expected)
{
    FILE *file = fmemopen((void *)text, length, "r");
    struct csv_reader reader;
    enum csv_reader_result found;
    buf said = BUF_INIT;

    csv_reader_init(&reader, file);
    while ((found = csv_reader_next(&reader)) <= CSV_READER_BAD_ROW) {
        buf_printf(&said, "%lld%c", reader.row_line, found == CSV_READER_ROW ? '[' : '!');
        if (found == CSV_READER_BAD_ROW)
            buf_printf(&said, "%.12s@%zu", reader.problem, reader.problem_cell);
        for (size_t cell = 0; found == CSV_READER_ROW && cell < reader.count; cell++)
            buf_printf(&said, "%s%s", cell > 0 ? "|" : "", csv_reader_cell(&reader, cell));
        buf_append_char(&said, found == CSV_READER_ROW ? ']' : ';');
    }
    if (found == CSV_READER_FAILED)
        buf_printf(&said, "failed: %s", reader.problem);
    assert_string_equal(buf_text(&said), expected);
    csv_reader_free(&reader);
    buf_free(&said);
    fclose(file);
}

static void
expect(const char *text, const char *expected)
{
    expect_bytes(text, strlen(text), expected);
}

static void
knows_ends_of_lines(void **state)
{
    (void)state;
    expect("a,b\n1,2\n", "1[a|b]2[1|2]");
    expect("a,b\r\n1,2\r\n", "1[a|b]2[1|2]");
    expect("a,b\r1,2\r", "1[a|b]2[1|2]");
    expect("a,b\r1,2\n3,4\r\n5,6", "1[a|b]2[1|2]3[3|4]4[5|6]");
    expect("a\n\n\r\n  \nb\n\n", "1[a]5[b]");
    expect("a,b\n,,\n\"\",\n1,2\n,\n", "1[a|b]4[1|2]");
    expect("a\n\"1\n2\r\n3\r4\"\nb\n", "1[a]2[1\n2\r\n3\r4]6[b]");
    expect("\r", "");
}

static void
knows_quotes(void **state)
{
    (void)state;
    expect("\"a \"\"b\"\"\",c\"d\"\n", "1[a \"b\"|c\"d\"]");
    expect("a, \"b,c\" ,d\n", "1[a|b,c|d]");
    expect("\"\"\"\",\"\"\n", "1[\"|]");
    expect("a,\"b\"c\n1,2\n", "1!has text beh@1;2[1|2]");
    expect("a,\"b \\\"c\\\" d\"\n1,2\n", "1!has text beh@1;2[1|2]");
    expect("a\n1,\"b\nc\n", "1[a]failed: the quote that opens in line 2 is not closed");
    expect("a\n\"b\nc\",\"\n", "1[a]failed: the quote that opens in line 3 is not closed");
}

static void
knows_separators(void **state)
{
    (void)state;
    expect("a;b\n1,5;2\n", "1[a|b]2[1,5|2]");
    expect("a\tb\n\t2\n \"1\" \t2\n", "1[a|b]2[|2]3[1|2]");
    expect("sep=;\r\na;b\r\n", "2[a|b]");
    expect("SEP=|\na|b\n", "2[a|b]");
    expect("\"a;b\",c\n", "1[a;b|c]");
    expect("\n\na;b\n", "3[a|b]");
}

static void
takes_the_rest_for_text(void **state)
{
    (void)state;
    expect("a\n\\.\nb\n", "1[a]2[\\.]3[b]");
    expect("a,b\n\\N,\"\\N\"\n\\Na,x\\n\n", "1[a|b]2[|\\N]3[\\Na|x\\n]");
    expect("a, b \n", "1[a| b ]");
}

static void
names_bytes_that_are_no_text(void **state)
{
    static const char zero[] = "a,b\n1,2\0003\n4,5\n";

    (void)state;
    expect("a,b\n1,\xfc\n2,\xc3\xbc\n", "1[a|b]2!has bytes th@1;3[2|\xc3\xbc]");
    expect_bytes(zero, sizeof(zero) - 1, "1[a|b]2!has a zero b@1;3[4|5]");
}

static void
limits_rows(void **state)
{
    size_t length = CSV_READER_ROW_MAX + 100;
    char *text = malloc(length + 1);

    (void)state;
    memset(text, 'x', length);
    text[length] = '\0';
    memcpy(text, "a\n", 2);
    expect(text, "1[a]failed: line 2 is too long: a row may have 1 MiB");
    text[5] = '\n';
    text[6] = '"';
    expect(text, "1[a]2[xxx]failed: the row of the quote that opens in line 3 is too long: a row "
                 "may have 1 MiB. Is the quote closed?");
    memset(text, ',', 300);
    text[300] = '\0';
    memcpy(text + 296, "y\nz", 3);
    expect(text, "1!has too many@255;2[z|]");
    free(text);
}

/* Blocks of the file end anywhere. */
static void
reads_long_files(void **state)
{
    buf text = BUF_INIT;
    FILE *file;
    struct csv_reader reader;

    (void)state;
    for (int i = 0; i < 60000; i++)
        buf_printf(&text, "%d,\"a\"\"%d\r\nb\"\r\n", i, i);
    file = fmemopen(text.data, text.length, "r");
    csv_reader_init(&reader, file);
    for (int i = 0; i < 60000; i++) {
        char expected[40];

        assert_int_equal(csv_reader_next(&reader), CSV_READER_ROW);
        assert_int_equal(reader.row_line, 2 * i + 1);
        assert_int_equal(atoi(csv_reader_cell(&reader, 0)), i);
        snprintf(expected, sizeof(expected), "a\"%d\r\nb", i);
        assert_string_equal(csv_reader_cell(&reader, 1), expected);
    }
    assert_int_equal(csv_reader_next(&reader), CSV_READER_END);
    csv_reader_free(&reader);
    fclose(file);
    buf_free(&text);
}

static void
takes_lines_as_they_are(void **state)
{
    char text[] = "\"a\"b,c\n\"d\n";
    FILE *file = fmemopen(text, strlen(text), "r");
    struct csv_reader reader;

    (void)state;
    csv_reader_init(&reader, file);
    assert_int_equal(csv_reader_next(&reader), CSV_READER_BAD_ROW);
    assert_true(csv_reader_restart_plain(&reader));
    assert_int_equal(csv_reader_next(&reader), CSV_READER_ROW);
    assert_string_equal(csv_reader_cell(&reader, 0), "\"a\"b,c");
    assert_int_equal(csv_reader_next(&reader), CSV_READER_ROW);
    assert_string_equal(csv_reader_cell(&reader, 0), "\"d");
    assert_int_equal(reader.row_line, 2);
    assert_int_equal(csv_reader_next(&reader), CSV_READER_END);
    csv_reader_free(&reader);
    fclose(file);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_ends_of_lines),
        cmocka_unit_test(knows_quotes),
        cmocka_unit_test(knows_separators),
        cmocka_unit_test(takes_the_rest_for_text),
        cmocka_unit_test(names_bytes_that_are_no_text),
        cmocka_unit_test(limits_rows),
        cmocka_unit_test(reads_long_files),
        cmocka_unit_test(takes_lines_as_they_are),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
