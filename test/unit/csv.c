/*
 * CSV fields: quoted only if they must be.
 * uses: cli/csv.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
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

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(writes_rows)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
