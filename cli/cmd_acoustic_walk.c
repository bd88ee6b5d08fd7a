/*
 * cmd_acoustic_walk.c: see cmd_acoustic_walk.h.
 *
 * The query runs in a cursor of a read-only transaction. So a database of any size is read from one
 * snapshot with little memory.
 */
#include "cli/cmd_acoustic_walk.h"

#include <stdlib.h>
#include <string.h>
#include "cli/database.h"
#include "cli/output.h"

/* Contacts fetched at once. */
#define FETCH_SQL "FETCH 500 FROM walked"

/* Makes an array literal from a column of ids in a result; null ids are left out. */
static char *
make_id_array(const PGresult *contacts, int column)
{
    int count = PQntuples(contacts);
    size_t size = (size_t)count * 38 + 3;
    char *array = malloc(size);
    char *end = array;

    if (!array)
        return NULL;
    *end++ = '{';
    for (int row = 0; row < count; row++) {
        int length = PQgetlength(contacts, row, column);

        /* Anything that is not a UUID makes the next statement fail. */
        if (PQgetisnull(contacts, row, column) || length > 36)
            continue;
        if (end[-1] != '{')
            *end++ = ',';
        memcpy(end, PQgetvalue(contacts, row, column), (size_t)length);
        end += length;
    }
    *end++ = '}';
    *end = '\0';
    return array;
}

static bool
declare_cursor(struct cli *cli, const char *query)
{
    static const char declare[] = "DECLARE walked NO SCROLL CURSOR FOR ";
    char *sql = malloc(sizeof(declare) + strlen(query));
    bool is_declared;

    if (!sql)
        return false;
    memcpy(sql, declare, sizeof(declare) - 1);
    memcpy(sql + sizeof(declare) - 1, query, strlen(query) + 1);
    is_declared = database_run_statement(
                      cli, "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY") &&
                  database_run_statement(cli, sql);
    free(sql);
    return is_declared;
}

static bool
hand_on(struct cli *cli, const PGresult *contacts, cmd_acoustic_batch batch, void *arg)
{
    int column = PQfnumber(contacts, "email_id");
    char *ids;
    bool is_going;

    if (column < 0) {
        output_error(cli, CLI_USAGE, "the query has no column email_id");
        return false;
    }
    ids = make_id_array(contacts, column);
    is_going = ids && batch(arg, ids, PQntuples(contacts));
    free(ids);
    return is_going;
}

bool
cmd_acoustic_walk_query(struct cli *cli, const char *query, cmd_acoustic_batch batch, void *arg)
{
    bool is_going = declare_cursor(cli, query);
    int fetched = 1;

    while (is_going && fetched > 0) {
        PGresult *contacts = database_query(cli, FETCH_SQL, 0, NULL);

        is_going = contacts && hand_on(cli, contacts, batch, arg);
        fetched = PQntuples(contacts);
        PQclear(contacts);
    }
    return is_going && database_run_statement(cli, "COMMIT");
}
