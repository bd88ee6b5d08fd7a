/*
 * cmd_clients.c: `ctms clients`: adds, lists, disables and enables the clients of the REST API, and
 * changes their secrets and scopes.
 */
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"
#include "cli/database.h"
#include "cli/near.h"
#include "cli/output.h"
#include "cli/secret.h"
#include "common/scope.h"

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

/* Something before and after an "@", and no blank or line break that was copied with it. */
static bool
is_address(const char *email)
{
    const char *at = strchr(email, '@');

    for (const char *c = email; *c; c++) {
        if ((unsigned char)*c <= ' ' || *c == 0x7f)
            return false;
    }
    return at && at != email && at[1] && strlen(email) <= 255;
}

static bool
check_email(struct cli *cli, const char *email)
{
    if (!email)
        output_error(cli, CLI_USAGE,
                     "--email is missing: the address of the person to ask about this client");
    else if (!is_address(email))
        output_error(cli, CLI_USAGE, "--email must be an e-mail address");
    else
        return true;
    return false;
}

/*
 * Turns what was given as scopes into the list that is stored, with commas: NULL in *list for
 * "all". text may be NULL: those of a new client.
 */
static bool
read_scopes(struct cli *cli, const char *text, buf *names, const char **list)
{
    scope_set set = SCOPE_DEFAULT;

    *list = NULL;
    if (text && strcmp(text, "all") == 0)
        return true;
    if (text && (!scope_read(text, ", ", &set) || set == SCOPE_NONE)) {
        scope_append_names(SCOPE_ALL, ',', names);
        output_error(cli, CLI_USAGE, "scopes are \"all\", or some of %s", buf_text(names));
        return false;
    }
    scope_append_names(set, ',', names);
    *list = buf_text(names);
    return true;
}

static int
refuse_unknown(struct cli *cli, const char *id)
{
    near_names near;
    PGresult *ids =
        database_try_query(cli, "SELECT client_id FROM ctms.api_client ORDER BY 1", 0, NULL);

    near_begin(&near, id);
    near_offer_rows(&near, ids);
    PQclear(ids);
    return output_error(cli, CLI_NOT_FOUND, "there is no client \"%s\"%s", id,
                        near_question(&near));
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

/*
 * Stores a new secret with the statement and shows it. Parameters: $1 id, $2 hash; if there is an
 * e-mail, $3 is that, and $4 the scopes.
 */
static int
store_secret(struct cli *cli, const char *sql, const char *id, const char *email,
             const char *scopes)
{
    char secret[SECRET_SIZE];
    char hash[SECRET_HASH_SIZE];
    const char *parameters[] = {id, hash, email, scopes};
    PGresult *result;

    if (!secret_make(secret, hash))
        return output_error(cli, CLI_FAILED, "could not make a secret: no randomness or memory");
    result = database_query(cli, sql, email ? 4 : 2, parameters);
    if (result && PQntuples(result) == 0 && email)
        output_error(cli, CLI_EXISTS,
                     "client \"%s\" exists already; \"ctms clients rotate-secret\" gives it a new "
                     "secret",
                     id);
    else if (result && PQntuples(result) == 0)
        refuse_unknown(cli, id);
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
    const char *scopes;
    buf names = BUF_INIT;
    char id[ID_SIZE];

    if (make_id(cli, cli->arguments[0], id) && check_email(cli, email) &&
        read_scopes(cli, cli_get_option(cli, "scope"), &names, &scopes))
        store_secret(cli,
                     "INSERT INTO ctms.api_client (client_id, hashed_secret, email, scopes) "
                     "VALUES ($1, $2, $3, string_to_array($4, ',')) "
                     "ON CONFLICT DO NOTHING RETURNING client_id",
                     id, email, scopes);
    buf_free(&names);
    return cli->status;
}

static int
run_scope(struct cli *cli)
{
    const char *scopes;
    buf names = BUF_INIT;
    char id[ID_SIZE];
    PGresult *result = NULL;

    if (make_id(cli, cli->arguments[0], id) && read_scopes(cli, cli->arguments[1], &names, &scopes))
        result = database_query(cli,
                                "UPDATE ctms.api_client SET scopes = string_to_array($2, ',') "
                                "WHERE client_id = $1 RETURNING client_id, to_json(scopes)",
                                2, (const char *const[]){id, scopes});
    if (result && PQntuples(result) == 0)
        refuse_unknown(cli, id);
    else if (result && cli->is_json)
        printf("{\"client_id\": \"%s\", \"scopes\": %s}\n", id,
               PQgetisnull(result, 0, 1) ? "null" : PQgetvalue(result, 0, 1));
    else if (result)
        printf("%s has %s\n", id, scopes ? scopes : "all scopes");
    PQclear(result);
    buf_free(&names);
    return cli->status;
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
                        id, NULL, NULL);
}

static int
run_list(struct cli *cli)
{
    return database_print_rows(
        cli,
        "SELECT client_id, email, CASE WHEN enabled THEN 'yes' ELSE 'no' END "
        "AS enabled, coalesce(to_char(last_access, 'YYYY-MM-DD HH24:MI:SS'), "
        "'never') AS last_access, CASE WHEN scopes = '{}' THEN 'none' "
        "ELSE coalesce(array_to_string(scopes, ','), 'all') END AS scopes "
        "FROM ctms.api_client ORDER BY client_id",
        "SELECT coalesce(json_agg(c ORDER BY client_id), '[]') FROM "
        "(SELECT client_id, email, coalesce(enabled, false) AS enabled, "
        "scopes, last_access, create_timestamp FROM ctms.api_client) c",
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
        refuse_unknown(cli, id);
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

#define SCOPES_HELP                                                                                \
    "SCOPES are \"all\", or some of contacts:read, contacts:write (includes\n"                     \
    "contacts:read), contacts:delete and stripe:write, with commas between them."

static const struct cli_option add_options[] = {
    {"email", 'e', "ADDRESS", "address of the person to ask about this client"},
    {"scope", 's', "SCOPES", "what it may do, with commas; \"all\": everything"},
    {NULL, 0, NULL, NULL},
};

const struct cli_command cmd_clients[] = {
    {
        .verb = "add",
        .arguments = "NAME --email ADDRESS",
        .summary = "make a client and show its secret, once",
        .text =
            "The client id is \"id_\" and NAME. Only a hash of the secret is stored.\n" SCOPES_HELP
            "\nWithout --scope a client has all but contacts:delete.",
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
        .verb = "scope",
        .arguments = "ID SCOPES",
        .summary = "change what a client may do",
        .text = SCOPES_HELP "\nIt holds within a second, for its access tokens too.",
        .min_arguments = 2,
        .max_arguments = 2,
        .run = run_scope,
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
