/*
 * cmd_acoustic_history.c: `ctms acoustic history`: the outcome of each attempt to send a contact.
 */
#include <stdio.h>
#include <string.h>
#include "cli/cmd_acoustic.h"
#include "cli/database.h"
#include "cli/output.h"

#define LIMIT "1000"

#define HISTORY_SQL(condition)                                                                     \
    "SELECT to_char(create_timestamp AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') "    \
    "AS time, outcome, coalesce(error, '') AS error FROM ctms.acoustic_history "                   \
    "WHERE " condition " ORDER BY create_timestamp DESC, id DESC LIMIT " LIMIT

/* A deleted contact is only known by its id. */
#define BY_ID HISTORY_SQL("email_id = $1::uuid")
#define BY_ADDRESS                                                                                 \
    HISTORY_SQL("email_id = (SELECT e.email_id FROM ctms.emails AS e "                             \
                "WHERE lower(e.primary_email) = lower($1))")
#define AS_JSON(sql)                                                                               \
    "SELECT coalesce(json_agg(h), '[]'), count(*) FROM (" sql ") AS h (time, outcome, error)"

int
cmd_acoustic_history(struct cli *cli)
{
    bool is_address = strchr(cli->arguments[0], '@') != NULL;
    const char *parameters[] = {cli->arguments[0]};
    PGresult *result;

    if (cli->is_json)
        result =
            database_query(cli, is_address ? AS_JSON(BY_ADDRESS) : AS_JSON(BY_ID), 1, parameters);
    else
        result = database_query(cli, is_address ? BY_ADDRESS : BY_ID, 1, parameters);
    if (!result)
        return cli->status;
    if (cli->is_json)
        output_json(PQgetvalue(result, 0, 0));
    else if (PQntuples(result) > 0)
        output_table(stdout, result);
    if (cli->is_json ? strcmp(PQgetvalue(result, 0, 1), "0") == 0 : PQntuples(result) == 0)
        output_error(cli, CLI_NOT_FOUND,
                     "no history of that contact is kept (see the setting acoustic_history)");
    PQclear(result);
    return cli->status;
}
