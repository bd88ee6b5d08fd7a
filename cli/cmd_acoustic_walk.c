/*
 * cmd_acoustic_walk.c: see cmd_acoustic_walk.h.
 *
 * The query runs in a cursor of a read-only transaction. So a database of any size is read from one
 * snapshot with little memory.
 */
#include "cli/cmd_acoustic_walk.h"

#include "cli/contact_query.h"
#include "cli/database.h"
#include "cli/id_array.h"

/* Contacts fetched at once. */
#define FETCH_SQL "FETCH 500 FROM chosen"

static bool
hand_on(const PGresult *contacts, cmd_acoustic_batch batch, void *arg)
{
    int column = PQfnumber(contacts, "email_id");
    buf ids = BUF_INIT;
    bool is_going;

    for (int row = 0; row < PQntuples(contacts); row++) {
        if (!PQgetisnull(contacts, row, column))
            id_array_add(&ids, PQgetvalue(contacts, row, column));
    }
    is_going = batch(arg, id_array_end(&ids), PQntuples(contacts));
    buf_free(&ids);
    return is_going;
}

bool
cmd_acoustic_walk_query(struct cli *cli, const char *query, cmd_acoustic_batch batch, void *arg)
{
    bool is_going = contact_query_open(cli, query);
    int fetched = 1;

    while (is_going && fetched > 0) {
        PGresult *contacts = database_query(cli, FETCH_SQL, 0, NULL);

        is_going = contacts && hand_on(contacts, batch, arg);
        fetched = PQntuples(contacts);
        PQclear(contacts);
    }
    return is_going && contact_query_close(cli);
}
