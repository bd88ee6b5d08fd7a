/*
 * cmd_stripe_refused.c: `ctms stripe refused`: what ctms.ingest_pubsub() has refused and keeps in
 * ctms.stripe_refused: lists it, shows it, tries it again, removes it.
 *
 * Each object is tried in a transaction of its own. One that refers to an object that is not stored
 * yet is tried again after the others, as `ctms stripe ingest` does.
 */
#include "cli/cmd_stripe_refused.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli/database.h"
#include "cli/output.h"

#define LIMIT "100"
/* How many ids are read, and rows removed, at a time. */
#define PAGE "1000"

#define TIME_AS_TEXT(column)                                                                       \
    "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS "

const struct cli_option cmd_stripe_refused_list_options[] = {
    {"limit", 'l', "N", "no more than so many, the newest (" LIMIT ")"},
    {NULL, 0, NULL, NULL},
};
const struct cli_option cmd_stripe_refused_retry_options[] = {
    {"all", 'a', NULL, "all that are kept"},
    {NULL, 0, NULL, NULL},
};
const struct cli_option cmd_stripe_refused_remove_options[] = {
    {"older-than", 'o', "TIME", "all that were refused before so long, such as \"7 days\""},
    {NULL, 0, NULL, NULL},
};

/* ---- arguments ------------------------------------------------------------------ */

static bool
check_number(struct cli *cli, const char *text)
{
    char *end;

    errno = 0;
    if (*text >= '0' && *text <= '9' && strtoll(text, &end, 10) >= 0 && *end == '\0' && errno == 0)
        return true;
    output_error(cli, CLI_USAGE, "\"%s\" is not a number", text);
    return false;
}

/* Whether there are either ids, all of them numbers, or the option. */
static bool
check_choice(struct cli *cli, const char *option)
{
    bool is_given = cli_get_option(cli, option) != NULL;

    if (is_given == (cli->argument_count > 0)) {
        output_error(cli, CLI_USAGE, "give either ids or --%s", option);
        return false;
    }
    for (int i = 0; i < cli->argument_count; i++) {
        if (!check_number(cli, cli->arguments[i]))
            return false;
    }
    return true;
}

static int
report_unknown(struct cli *cli, const char *id)
{
    return output_error(cli, CLI_NOT_FOUND, "nothing is kept as %s", id);
}

/* ---- list ------------------------------------------------------------------------ */

int
cmd_stripe_refused_list(struct cli *cli)
{
    const char *limit = cli_get_option(cli, "limit");

    if (limit && !check_number(cli, limit))
        return cli->status;
    return database_print_rows(
        cli,
        "SELECT id, " TIME_AS_TEXT("create_timestamp") "refused, " TIME_AS_TEXT(
            "update_timestamp") "tried, attempts, coalesce(object, CASE WHEN is_message "
                                "THEN 'a message' ELSE 'an object' END) AS object, code, reason "
                                "FROM ctms.stripe_refused ORDER BY id DESC LIMIT $1",
        "SELECT coalesce(json_agg(r ORDER BY id DESC), '[]') FROM (SELECT id, create_timestamp, "
        "update_timestamp, message_timestamp, message_id, object, is_message, attempts, code, "
        "reason, octet_length(content) AS bytes FROM ctms.stripe_refused ORDER BY id DESC LIMIT "
        "$1) AS r",
        1, (const char *const[]){limit ? limit : LIMIT});
}

/* ---- show ------------------------------------------------------------------------ */

static void
print_content(const char *escaped)
{
    size_t length;
    unsigned char *content = PQunescapeBytea((const unsigned char *)escaped, &length);

    if (!content)
        return;
    /* A file gets the bytes as they came; on a terminal they must not do anything. */
    if (isatty(STDOUT_FILENO)) {
        output_text(stdout, (const char *)content);
        putchar('\n');
    } else {
        fwrite(content, 1, length, stdout);
    }
    PQfreemem(content);
}

int
cmd_stripe_refused_show(struct cli *cli)
{
    const char *id = cli->arguments[0];
    PGresult *result;

    if (!check_number(cli, id))
        return cli->status;
    result = database_query(
        cli,
        "SELECT content, json_build_object('id', id, 'is_message', is_message, 'content_base64', "
        "replace(encode(content, 'base64'), E'\\n', '')) FROM ctms.stripe_refused WHERE id = $1",
        1, &id);
    if (result && PQntuples(result) == 0)
        report_unknown(cli, id);
    else if (result && cli->is_json)
        output_json(PQgetvalue(result, 0, 1));
    else if (result)
        print_content(PQgetvalue(result, 0, 0));
    PQclear(result);
    return cli->status;
}

/* ---- retry ------------------------------------------------------------------------ */

struct retry {
    struct cli *cli;
    unsigned long long stored;
    unsigned long long refused; /* without those that wait for others */
    unsigned long long waiting; /* for objects that are not stored yet */
};

static void
print_outcome(const struct retry *retry, const char *id, json_t *outcome, bool is_stored)
{
    json_t *error = json_array_get(json_object_get(outcome, "errors"), 0);
    const char *message = json_string_value(json_object_get(error, "message"));

    if (retry->cli->is_json) {
        json_object_set_new(outcome, "id", json_integer(strtoll(id, NULL, 10)));
        output_json_value(outcome);
        return;
    }
    printf("%s: %s", id, is_stored ? "stored" : "refused");
    if (message) {
        fputs(": ", stdout);
        output_text(stdout, message);
    }
    putchar('\n');
}

static bool
is_waiting(const json_t *outcome)
{
    json_t *error;
    size_t i;

    json_array_foreach(json_object_get(outcome, "errors"), i, error)
    {
        const char *code = json_string_value(json_object_get(error, "code"));

        if (code && strcmp(code, "CTS03") == 0)
            return true;
    }
    return false;
}

static void
take_outcome(struct retry *retry, const char *id, json_t *outcome)
{
    bool is_stored = json_is_true(json_object_get(outcome, "is_stored"));

    if (is_stored)
        retry->stored++;
    else if (is_waiting(outcome))
        retry->waiting++;
    else
        retry->refused++;
    print_outcome(retry, id, outcome, is_stored);
}

/* False when it is useless to continue. */
static bool
retry_one(struct retry *retry, const char *id, bool is_named)
{
    struct cli *cli = retry->cli;
    PGresult *result = database_retry_query(cli, "SELECT ctms.retry_stripe_refused($1)", 1, &id);

    if (!database_is_ok(result)) {
        retry->refused++;
        database_report(cli, result, NULL);
    } else if (!PQgetisnull(result, 0, 0)) {
        json_t *outcome = json_loads(PQgetvalue(result, 0, 0), 0, NULL);

        take_outcome(retry, id, outcome);
        json_decref(outcome);
    } else if (is_named) {
        report_unknown(cli, id);
    }
    PQclear(result);
    return cli->status != CLI_UNAVAILABLE;
}

/*
 * Tries all that there were when the command began; with is_again only those that refer to an
 * object that was not stored yet. False when it is useless to continue.
 */
static bool
retry_all(struct retry *retry, const char *last, bool is_again)
{
    char after[32] = "0";
    bool is_going = true;
    int count;

    do {
        PGresult *result = database_query(
            retry->cli,
            "SELECT id FROM ctms.stripe_refused WHERE id > $1 AND id <= $2 AND (NOT $3::boolean OR "
            "code = 'CTS03') ORDER BY id LIMIT " PAGE,
            3, (const char *const[]){after, last, is_again ? "true" : "false"});

        count = result ? PQntuples(result) : 0;
        is_going = result != NULL;
        for (int i = 0; i < count && is_going; i++)
            is_going = retry_one(retry, PQgetvalue(result, i, 0), false);
        if (count > 0)
            snprintf(after, sizeof(after), "%s", PQgetvalue(result, count - 1, 0));
        PQclear(result);
    } while (is_going && count > 0);
    return is_going;
}

/* In rounds, as long as objects are stored to which others may refer. */
static void
retry_in_rounds(struct retry *retry)
{
    long long newest;
    char last[32];
    bool is_going =
        database_query_number(retry->cli, "SELECT max(id) FROM ctms.stripe_refused", &newest);
    unsigned long long before = 0;

    if (!is_going)
        return;
    snprintf(last, sizeof(last), "%lld", newest);
    is_going = retry_all(retry, last, false);
    while (is_going && retry->waiting > 0 && retry->stored > before) {
        before = retry->stored;
        retry->waiting = 0;
        is_going = retry_all(retry, last, true);
    }
}

int
cmd_stripe_refused_retry(struct cli *cli)
{
    struct retry retry = {.cli = cli};
    bool is_going = true;

    if (!check_choice(cli, "all"))
        return cli->status;
    if (cli->argument_count == 0)
        retry_in_rounds(&retry);
    for (int i = 0; i < cli->argument_count && is_going; i++)
        is_going = retry_one(&retry, cli->arguments[i], true);
    retry.refused += retry.waiting;
    if (cli->is_json)
        printf("{\"summary\": {\"stored\": %llu, \"refused\": %llu}}\n", retry.stored,
               retry.refused);
    else
        printf("%llu stored, %llu refused\n", retry.stored, retry.refused);
    if (cli->status == CLI_OK && retry.refused > 0)
        cli->status = CLI_FAILED;
    return cli->status;
}

/* ---- remove ------------------------------------------------------------------------ */

/* Adds how many rows the statement removes. False when it fails, or when there are none. */
static bool
remove_rows(struct cli *cli, const char *sql, const char *parameter, unsigned long long *removed)
{
    PGresult *result = database_query(cli, sql, 1, &parameter);
    unsigned long long count = result ? strtoull(PQcmdTuples(result), NULL, 10) : 0;

    if (result && count == 0 && cli->argument_count > 0)
        report_unknown(cli, parameter);
    *removed += count;
    PQclear(result);
    return count > 0;
}

/* With an age below zero, everything would be older. */
static bool
check_age(struct cli *cli, const char *age)
{
    PGresult *result = database_query(cli, "SELECT $1::interval < interval '0'", 1, &age);
    bool is_read = result != NULL;
    bool is_negative = is_read && PQgetvalue(result, 0, 0)[0] == 't';

    PQclear(result);
    if (is_negative)
        output_error(cli, CLI_USAGE, "--older-than must not be negative");
    return is_read && !is_negative;
}

int
cmd_stripe_refused_remove(struct cli *cli)
{
    const char *age = cli_get_option(cli, "older-than");
    unsigned long long removed = 0;

    if (!check_choice(cli, "older-than") || (age && !check_age(cli, age)) ||
        !output_confirm(cli, "What was refused will be lost, unless Stripe sends it again."))
        return cli->status;
    while (age && remove_rows(cli,
                              "DELETE FROM ctms.stripe_refused WHERE id IN (SELECT id FROM "
                              "ctms.stripe_refused WHERE create_timestamp < now() - $1::interval "
                              "ORDER BY id LIMIT " PAGE ")",
                              age, &removed))
        ;
    for (int i = 0; i < cli->argument_count && cli->status != CLI_UNAVAILABLE; i++)
        remove_rows(cli, "DELETE FROM ctms.stripe_refused WHERE id = $1", cli->arguments[i],
                    &removed);
    if (cli->is_json)
        printf("{\"removed\": %llu}\n", removed);
    else
        printf("%llu removed\n", removed);
    return cli->status;
}
