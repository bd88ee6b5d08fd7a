/* Tests of agent/bulk_line.c: what is written is read again, and nothing else.
 *
 * uses: agent/bulk_line.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "agent/bulk_line.h"

/* Through a pipe, as between the processes. */
static bulk_line
pass_on(const bulk_line *line)
{
    char text[4096];
    bulk_line read_again;
    int ends[2];
    ssize_t length;

    assert_int_equal(pipe(ends), 0);
    assert_true(bulk_line_write(ends[1], line));
    length = read(ends[0], text, sizeof(text));
    close(ends[0]);
    close(ends[1]);
    assert_true(length > 0 && text[length - 1] == '\n');
    assert_null(memchr(text, '\n', (size_t)length - 1));
    text[length - 1] = '\0';
    assert_true(bulk_line_read(&read_again, text));
    assert_int_equal(read_again.kind, line->kind);
    return read_again;
}

static void
reads_what_it_writes(void **state)
{
    bulk_line line = {.kind = BULK_LINE_LOG, .level = LOG_LEVEL_WARNING};
    bulk_line again;

    (void)state;
    strcpy(line.message, " 2 rows\nof\tmain");
    again = pass_on(&line);
    assert_int_equal(again.level, LOG_LEVEL_WARNING);
    assert_string_equal(again.message, " 2 rows of main");
    line = (bulk_line){.kind = BULK_LINE_BYTES, .bytes = 1LL << 40};
    assert_int_equal(pass_on(&line).bytes, 1LL << 40);
    line = (bulk_line){.kind = BULK_LINE_RESULT, .result = {1, 2, 3, 4, 5}};
    again = pass_on(&line);
    assert_memory_equal(&again.result, &line.result, sizeof(line.result));
    line = (bulk_line){.kind = BULK_LINE_END, .outcome = BULK_UNAVAILABLE};
    again = pass_on(&line);
    assert_int_equal(again.outcome, BULK_UNAVAILABLE);
    assert_string_equal(again.message, "");
}

static void
keeps_within_a_line(void **state)
{
    bulk_line line = {.kind = BULK_LINE_END, .outcome = BULK_FAILED};

    (void)state;
    memset(line.message, 'x', sizeof(line.message) - 1);
    assert_string_equal(pass_on(&line).message, line.message);
}

static void
refuses_other_lines(void **state)
{
    static const char *const others[] = {
        "",         "log",     "log x y",    "log 6",        "bytes",          "bytes -1",
        "result",   "end",     "end 99 why", "end -1 why",   "result 1 2 3 4", "end 0",
        "logs 6 x", "bytes x", "end x why",  " log 6 hello",
    };
    bulk_line line;

    (void)state;
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
        if (bulk_line_read(&line, others[i]))
            fail_msg("taken: \"%s\"", others[i]);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_it_writes),
        cmocka_unit_test(keeps_within_a_line),
        cmocka_unit_test(refuses_other_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
