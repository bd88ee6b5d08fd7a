/* Tests of common/pg_pool_statement.c: which results are those of a statement. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/pg_pool_internal.h"

static const pg_statement one = {.sql = "SELECT a, b FROM f()", .columns = "a,b"};
static const pg_statement any = {
    .sql = "SELECT a, b FROM g()", .columns = "a,b", .rows = PG_ANY_ROWS, false};

/* A result with these columns, up to a NULL name, and that many rows. */
static PGresult *
make_result(int rows, ...)
{
    PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    PGresAttDesc columns[4] = {{.name = NULL}};
    int count = 0;
    va_list names;

    va_start(names, rows);
    while ((columns[count].name = va_arg(names, char *)) != NULL)
        count++;
    va_end(names);
    if (count > 0)
        PQsetResultAttrs(result, count, columns);
    for (int row = 0; row < rows; row++)
        PQsetvalue(result, row, 0, (char *)(uintptr_t) "x", 1);
    return result;
}

/* Frees the result. */
static bool
fits(const pg_statement *statement, bool is_streamed, PGresult *result, char why[300])
{
    pg_request request = {.statement = statement, .is_streamed = is_streamed};
    bool is_fitting = pg_pool_statement_fits(&request, result, why, 300);

    PQclear(result);
    return is_fitting;
}

static void
takes_its_own_columns(void **state)
{
    char why[300] = "";

    (void)state;
    assert_true(fits(&one, false, make_result(1, "a", "b", NULL), why));
    assert_true(fits(&any, false, make_result(0, "a", "b", NULL), why));
    assert_true(fits(&any, false, make_result(3, "a", "b", NULL), why));
    assert_true(fits(&one, true, make_result(0, "a", "b", NULL), why));
    assert_string_equal(why, "");
}

static void
refuses_other_columns(void **state)
{
    char why[300];

    (void)state;
    assert_false(fits(&one, false, make_result(1, "a", NULL), why));
    assert_false(fits(&one, false, make_result(1, "a", "b", "c", NULL), why));
    assert_false(fits(&one, false, make_result(1, "b", "a", NULL), why));
    assert_false(fits(&one, false, make_result(1, "a", "bc", NULL), why));
    assert_false(fits(&one, false, make_result(1, "a,b", NULL), why));
    assert_false(fits(&one, false, make_result(0, NULL), why));
    assert_false(fits(&one, true, make_result(1, "put_contact", NULL), why));
    assert_non_null(strstr(why, "\"SELECT a, b FROM f()\" has 1 columns that begin with "
                                "\"put_contact\" instead of \"a,b\""));
}

static void
refuses_other_numbers_of_rows(void **state)
{
    char why[300];

    (void)state;
    assert_false(fits(&one, false, make_result(0, "a", "b", NULL), why));
    assert_non_null(strstr(why, "has 0 rows instead of one"));
    assert_false(fits(&one, false, make_result(2, "a", "b", NULL), why));
}

/* What comes first is the guard's, even when the rows of the statement are streamed. */
static void
takes_the_result_of_a_guard_first(void **state)
{
    static const pg_statement guard = {.sql = "SELECT g()", .columns = "g"};
    pg_request request = {
        .statement = &any, .guard = &guard, .is_guarding = true, .is_streamed = true};
    PGresult *of_guard = make_result(1, "g", NULL), *no_row = make_result(0, "g", NULL);
    PGresult *of_statement = make_result(1, "a", "b", NULL);
    char why[300];

    (void)state;
    assert_true(pg_pool_statement_fits(&request, of_guard, why, sizeof(why)));
    assert_false(pg_pool_statement_fits(&request, no_row, why, sizeof(why)));
    assert_false(pg_pool_statement_fits(&request, of_statement, why, sizeof(why)));
    request.is_guarding = false;
    assert_true(pg_pool_statement_fits(&request, of_statement, why, sizeof(why)));
    assert_false(pg_pool_statement_fits(&request, of_guard, why, sizeof(why)));
    PQclear(of_guard);
    PQclear(no_row);
    PQclear(of_statement);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_its_own_columns),
        cmocka_unit_test(refuses_other_columns),
        cmocka_unit_test(refuses_other_numbers_of_rows),
        cmocka_unit_test(takes_the_result_of_a_guard_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
