/*
 * cmd_acoustic_history.c: `ctms acoustic history`: the outcome of each attempt to send a contact.
 */
#include <stdio.h>
#include <string.h>
#include "cli/cmd_acoustic.h"
#include "cli/database.h"
#include "cli/find_contact.h"
#include "cli/id_array.h"
#include "cli/output.h"
#include "common/buf.h"

#define LIMIT "1000"

/* $1: the contacts. */
#define HISTORY_SQL                                                                                \
    "SELECT email_id, to_char(create_timestamp AT TIME ZONE 'UTC', "                               \
    "'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') "                                                        \
    "AS time, outcome, coalesce(error, '') AS error FROM ctms.acoustic_history "                   \
    "WHERE email_id = ANY ($1::uuid[]) ORDER BY create_timestamp DESC, id DESC LIMIT " LIMIT
#define JSON_SQL "SELECT coalesce(json_agg(h), '[]'), count(*) FROM (" HISTORY_SQL ") AS h"

/* A deleted contact is only known by its id. Returns false after reporting an error. */
static bool
find_ids(struct cli *cli, buf *ids)
{
    const char *text = cli->arguments[0];
    struct find_contact found;
    char email_id[ID_LENGTH + 1];

    if (!find_contact(cli, text, &found))
        return false;
    if (found.count == 0 && !find_contact_read_id(text, email_id)) {
        find_contact_report_none(cli, text);
        return false;
    }
    if (found.count == 0)
        id_array_add(ids, email_id);
    for (int i = 0; i < found.count; i++)
        id_array_add(ids, found.matches[i].email_id);
    id_array_end(ids);
    return true;
}

int
cmd_acoustic_history(struct cli *cli)
{
    buf ids = BUF_INIT;
    PGresult *result = NULL;

    if (find_ids(cli, &ids)) {
        const char *parameters[] = {buf_text(&ids)};

        result = database_query(cli, cli->is_json ? JSON_SQL : HISTORY_SQL, 1, parameters);
    }
    buf_free(&ids);
    if (!result)
        return cli->status;
    if (cli->is_json)
        output_json(PQgetvalue(result, 0, 0));
    else if (PQntuples(result) > 0)
        output_table(stdout, result);
    if (cli->is_json ? strcmp(PQgetvalue(result, 0, 1), "0") == 0 : PQntuples(result) == 0)
        output_error(
            cli, CLI_NOT_FOUND,
            "no history of that contact is kept (see the settings acoustic_history_age and "
            "acoustic_history_sent)");
    PQclear(result);
    return cli->status;
}
