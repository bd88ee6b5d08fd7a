/*
 * cmd_clients.c: `ctms clients`: adds, lists, disables and enables the clients of the REST API, and
 * changes their secrets.
 */
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"
#include "cli/database.h"
#include "cli/output.h"
#include "cli/secret.h"

#define ID_SIZE 256

/*
 * Turns NAME or ID into an id, which begins with "id_" once. Ids are put into tokens, logs and
 * shell commands, so only letters, digits, "-", "_" and "." are allowed.
 */
static bool
make_id(struct cli *cli, const char *name, char id[ID_SIZE])
{
    const char *bare = strncmp(name, "id_", 3) == 0 ? name + 3 : name;
    size_t length = strlen(bare);

    if (length == 0 || length + 4 > ID_SIZE ||
        strspn(bare, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.") !=
            length) {
        output_error(cli, CLI_USAGE,
                     "a client name is 1 to 252 letters, digits, \"-\", \"_\" or \".\"");
        return false;
    }
    snprintf(id, ID_SIZE, "id_%s", bare);
    return true;
}

static bool
check_email(struct cli *cli, const char *email)
{
    const char *at = email ? strchr(email, '@') : NULL;

    if (!email)
        output_error(cli, CLI_USAGE,
                     "--email is missing: the address of the person to ask about this client");
    else if (!at || at == email || !at[1] || strlen(email) > 255)
        output_error(cli, CLI_USAGE, "--email must be an e-mail address");
    else
        return true;
    return false;
}

/* Needs no quoting: ids and secrets have no character that is special in JSON or a shell. */
static void
print_credentials(struct cli *cli, const char *id, const char *secret)
{
    const char *url = config_string(cli->settings, "CTMS_SERVER_PREFIX");

    if (cli->is_json) {
        printf("{\"client_id\": \"%s\", \"client_secret\": \"%s\"}\n", id, secret);
        return;
    }
    printf("client_id      %s\nclient_secret  %s\n\n"
           "The secret is shown this once. To try it:\n\n"
           "  TOKEN=$(curl -sS -u '%s:%s' -d grant_type=client_credentials '%s/token' |\n"
           "      sed -n 's/.*\"access_token\": *\"\\([^\"]*\\)\".*/\\1/p')\n"
           "  curl -sS -H \"Authorization: Bearer $TOKEN\" "
           "'%s/ctms?primary_email=someone@example.com'\n",
           id, secret, id, secret, url, url);
}

/* Stores a new secret with the statement and shows it. Parameters: $1 id, $2 hash, $3 e-mail. */
static int
store_secret(struct cli *cli, const char *sql, const char *id, const char *email,
             enum cli_exit none_status, const char *none_message)
{
    char secret[SECRET_SIZE];
    char hash[SECRET_HASH_SIZE];
    const char *parameters[] = {id, hash, email};
    PGresult *result;

    if (!secret_make(secret, hash))
        return output_error(cli, CLI_FAILED, "could not make a secret: no randomness or memory");
    result = database_query(cli, sql, email ? 3 : 2, parameters);
    if (result && PQntuples(result) == 0)
        output_error(cli, none_status, none_message, id);
    else if (result)
        print_credentials(cli, id, secret);
    explicit_bzero(secret, sizeof(secret));
    PQclear(result);
    return cli->status;
}

static int
run_add(struct cli *cli)
{
    const char *email = cli_get_option(cli, "email");
    char id[ID_SIZE];

    if (!make_id(cli, cli->arguments[0], id) || !check_email(cli, email))
        return cli->status;
    return store_secret(cli,
                        "INSERT INTO ctms.api_client (client_id, hashed_secret, email) "
                        "VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING client_id",
                        id, email, CLI_EXISTS,
                        "client \"%s\" exists already; \"ctms clients rotate-secret\" gives it a "
                        "new secret");
}

static int
run_rotate_secret(struct cli *cli)
{
    char id[ID_SIZE];
    char question[ID_SIZE + 64];

    if (!make_id(cli, cli->arguments[0], id))
        return cli->status;
    snprintf(question, sizeof(question), "The secret of \"%s\" will stop working.", id);
    if (!output_confirm(cli, question))
        return cli->status;
    return store_secret(cli,
                        "UPDATE ctms.api_client SET hashed_secret = $2 WHERE client_id = $1 "
                        "RETURNING client_id",
                        id, NULL, CLI_NOT_FOUND, "there is no client \"%s\"");
}

static int
run_list(struct cli *cli)
{
    return database_print_rows(
        cli,
        "SELECT client_id, email, CASE WHEN enabled THEN 'yes' ELSE 'no' END "
        "AS enabled, coalesce(to_char(last_access, 'YYYY-MM-DD HH24:MI:SS'), "
        "'never') AS last_access FROM ctms.api_client ORDER BY client_id",
        "SELECT coalesce(json_agg(c ORDER BY client_id), '[]') FROM "
        "(SELECT client_id, email, coalesce(enabled, false) AS enabled, "
        "last_access, create_timestamp FROM ctms.api_client) c",
        0, NULL);
}

static int
set_enabled(struct cli *cli, const char *value)
{
    char id[ID_SIZE];
    const char *parameters[] = {id, value};
    PGresult *result;

    if (!make_id(cli, cli->arguments[0], id))
        return cli->status;
    result = database_query(cli,
                            "UPDATE ctms.api_client SET enabled = $2 WHERE client_id = $1 "
                            "RETURNING client_id",
                            2, parameters);
    if (result && PQntuples(result) == 0)
        output_error(cli, CLI_NOT_FOUND, "there is no client \"%s\"", id);
    else if (result && cli->is_json)
        printf("{\"client_id\": \"%s\", \"enabled\": %s}\n", id, value);
    else if (result)
        printf("%s is %s\n", id, strcmp(value, "true") == 0 ? "enabled" : "disabled");
    PQclear(result);
    return cli->status;
}

static int
run_enable(struct cli *cli)
{
    return set_enabled(cli, "true");
}

static int
run_disable(struct cli *cli)
{
    return set_enabled(cli, "false");
}

static const struct cli_option add_options[] = {
    {"email", 'e', "ADDRESS", "address of the person to ask about this client"},
    {NULL, 0, NULL, NULL},
};

const struct cli_command cmd_clients[] = {
    {
        .verb = "add",
        .arguments = "NAME --email ADDRESS",
        .summary = "make a client and show its secret, once",
        .text = "The client id is \"id_\" and NAME. Only a hash of the secret is stored.",
        .options = add_options,
        .min_arguments = 1,
        .max_arguments = 1,
        .run = run_add,
    },
    {
        .verb = "list",
        .arguments = "",
        .summary = "list the clients",
        .run = run_list,
    },
    {
        .verb = "enable",
        .arguments = "ID",
        .summary = "enable a disabled client",
        .min_arguments = 1,
        .max_arguments = 1,
        .run = run_enable,
    },
    {
        .verb = "disable",
        .arguments = "ID",
        .summary = "disable a client; its tokens are refused too",
        .min_arguments = 1,
        .max_arguments = 1,
        .run = run_disable,
    },
    {
        .verb = "rotate-secret",
        .arguments = "ID",
        .summary = "give a client a new secret and show it, once",
        .text = "The old secret stops working at once, and so do the access tokens that it gave.",
        .min_arguments = 1,
        .max_arguments = 1,
        .run = run_rotate_secret,
    },
    {.verb = NULL},
};
