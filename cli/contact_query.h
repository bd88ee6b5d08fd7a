/*
 * contact_query.h: an operator's query that chooses contacts by a column email_id (--query).
 * selection.c and cmd_acoustic_walk.c use it.
 *
 * It may only read: it runs in a read-only transaction, by a cursor, under the time limit of the
 * command.
 */
#ifndef CTMS_CLI_CONTACT_QUERY_H
#define CTMS_CLI_CONTACT_QUERY_H

#include <stdio.h>
#include "cli/cli.h"

/*
 * Begins a transaction and opens the cursor "chosen" for the query. Returns false after reporting
 * what is wrong, with the place if it is known: the query itself, its column, or the type of that.
 */
bool contact_query_open(struct cli *cli, const char *query);
/*
 * Ends the transaction. It is rolled back: settings that the query has changed, by set_config(),
 * must not be those of later statements, nor, behind a pooler, of other programs.
 */
bool contact_query_close(struct cli *cli);

/*
 * Runs the query in a transaction of its own, and returns a file without a name that has the
 * email_ids, each once, in their order and of ID_LENGTH characters. The caller closes it. Returns
 * null after reporting an error.
 */
FILE *contact_query_keep(struct cli *cli, const char *query);

#endif
