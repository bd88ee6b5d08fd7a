/*
 * cmd_delete.c: `ctms delete`: removes contacts by address, and says what they were connected to.
 *
 * Addresses come from --email or from a file. A file is better for personal data, because every
 * user of the machine can see the arguments of a running program.
 */
#include <jansson.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "cli/addresses.h"
#include "cli/cli.h"
#include "cli/database.h"
#include "cli/output.h"
#include "common/buf.h"

struct deletion {
    struct cli *cli;
    unsigned long long deleted;
    unsigned long long unknown;
    unsigned long long failed;
    void *done; /* a tree of the addresses that were deleted */
};

/* ---- addresses that are in a file twice -------------------------------------------- */

static int
compare_addresses(const void *a, const void *b)
{
    return strcasecmp(a, b);
}

static void
remember_deleted(struct deletion *deletion, const char *email)
{
    char *copy = xstrdup(email);
    char **found = tsearch(copy, &deletion->done, compare_addresses);

    if (!found || *found != copy)
        free(copy);
}

static bool
was_deleted(const struct deletion *deletion, const char *email)
{
    return tfind(email, &deletion->done, compare_addresses) != NULL;
}

/* ---- one contact ------------------------------------------------------------------- */

/* Prints the ids that the contact had besides its address, such as "fxa_id, sfdc_id". */
static void
print_connected(const json_t *identity)
{
    static const char *const names[] = {"basket_token",  "sfdc_id",     "mofo_contact_id",
                                        "mofo_email_id", "amo_user_id", "fxa_id"};
    const char *separator = " connected to ";

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (!json_is_string(json_object_get(identity, names[i])))
            continue;
        printf("%s%s", separator, names[i]);
        separator = ", ";
    }
}

static void
print_deleted(const char *email, const char *identities)
{
    json_t *list = json_loads(identities, 0, NULL);
    size_t i;
    json_t *identity;

    json_array_foreach(list, i, identity)
    {
        const char *id = json_string_value(json_object_get(identity, "email_id"));

        output_text(stdout, email);
        fputs(": deleted contact ", stdout);
        output_text(stdout, id ? id : "?");
        print_connected(identity);
        putchar('\n');
    }
    json_decref(list);
}

static void
print_unknown(const char *email, bool is_repeated)
{
    output_text(stdout, email);
    puts(is_repeated ? ": was deleted before" : ": not found");
}

static void
print_as_json(const char *email, const char *identities)
{
    json_t *line = json_pack("{s:s, s:o?}", "email", email, "deleted",
                             identities ? json_loads(identities, 0, NULL) : json_array());

    if (line)
        output_json_value(line);
    json_decref(line);
}

/* False when it is useless to continue. The ids of a contact are nowhere else once it is deleted,
 * so each line is written before the next contact is touched. */
static bool
delete_email(struct deletion *deletion, const char *email)
{
    struct cli *cli = deletion->cli;
    const char *parameters[] = {email};
    PGresult *result = database_query(cli, "SELECT ctms.delete_contact($1)", 1, parameters);
    const char *identities = NULL;
    bool is_repeated;

    if (!result) {
        deletion->failed++;
        return cli->status != CLI_UNAVAILABLE;
    }
    if (PQntuples(result) > 0 && !PQgetisnull(result, 0, 0))
        identities = PQgetvalue(result, 0, 0);
    is_repeated = !identities && was_deleted(deletion, email);
    deletion->deleted += identities != NULL;
    deletion->unknown += !identities && !is_repeated;
    if (cli->is_json)
        print_as_json(email, identities);
    else if (identities)
        print_deleted(email, identities);
    else
        print_unknown(email, is_repeated);
    if (identities)
        remember_deleted(deletion, email);
    PQclear(result);
    return output_finish(cli);
}

static bool
delete_line(void *arg, const char *email, long long line)
{
    (void)line;
    return delete_email(arg, email);
}

static void
delete_file(struct deletion *deletion, const char *path, const struct addresses *addresses)
{
    struct cli *cli = deletion->cli;

    if (!addresses_each(addresses, delete_line, deletion))
        fprintf(stderr,
                "ctms: stopped: %llu contacts were deleted, and those of the other "
                "addresses were not\n",
                deletion->deleted);
    if (!cli->is_json)
        printf("%llu deleted, %llu not found, %llu failed\n", deletion->deleted, deletion->unknown,
               deletion->failed);
    if (addresses->bad > 0)
        fprintf(stderr, "ctms: note: %lld bad lines of \"%s\" were left out\n", addresses->bad,
                path);
}

static int
run_delete(struct cli *cli)
{
    const char *email = cli_get_option(cli, "email");
    const char *path = cli_get_option(cli, "email-file");
    struct deletion deletion = {.cli = cli};
    struct addresses addresses = {.bad = 0};

    if (!email == !path)
        return output_error(cli, CLI_USAGE, "give either --email or --email-file");
    if (path && strcmp(path, "-") == 0 && !cli->is_confirmed)
        return output_error(cli, CLI_USAGE, "reading addresses from standard input needs --yes");
    if ((!path || addresses_read(&addresses, cli, path)) &&
        output_confirm(cli, email ? "All data of this contact will be deleted."
                                  : "All data of the contacts in this file will be deleted.")) {
        if (email)
            delete_email(&deletion, email);
        else
            delete_file(&deletion, path, &addresses);
        if (cli->status == CLI_OK && deletion.unknown > 0)
            cli->status = CLI_NOT_FOUND;
        if (cli->status == CLI_OK && addresses.bad > 0)
            cli->status = CLI_PARTLY;
    }
    addresses_free(&addresses);
    tdestroy(deletion.done, free);
    return cli->status;
}

static const struct cli_option delete_options[] = {
    {"email", 'e', "ADDRESS", "the contact's address, in upper or lower case"},
    {"email-file", 'f', "FILE", "file of addresses, one a line or CSV; \"-\" is standard input"},
    ADDRESSES_MAX_ERRORS_OPTION,
    {NULL, 0, NULL, NULL},
};

const struct cli_command cmd_delete[] = {
    {
        .verb = "",
        .arguments = "--email ADDRESS | --email-file FILE",
        .summary = "delete all data of contacts",
        .text =
            "Removes the contact's rows in every table, its Stripe customer included, and says\n"
            "what it was connected to. Exit code 4 when an address was unknown.\n"
            "FILE has an address a line, or is CSV with a column email or primary_email. If\n"
            "a line holds no address nothing is deleted, unless --max-errors allows it: exit\n"
            "code 7.",
        .options = delete_options,
        .run = run_delete,
    },
    {.verb = NULL},
};
