/*
 * cmd_acoustic_retry.c: `ctms acoustic retry`: gives contacts a fresh start that Acoustic has
 * refused, or that wait after a failure; deleted contacts, too.
 *
 * It works in batches; each batch is a short transaction of its own.
 */
#include <stdlib.h>
#include "cli/cmd_acoustic.h"
#include "cli/database.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/selection.h"

/* $2: a part of the error, as plain text, or null. */
#define CONDITION                                                                                  \
    CMD_ACOUSTIC_IS_FAILED                                                                         \
    " AND ($2::text IS NULL OR coalesce(strpos(lower(last_error), lower($2)), 0) > 0)"

struct retry {
    struct cli *cli;
    struct selection selection;
    long long reset;
};

static bool
reset(void *arg, const char *ids, int count)
{
    struct retry *retry = arg;
    PGresult *result =
        database_query_again(retry->cli, "SELECT ctms.reset_acoustic_retries($1::uuid[])", 1, &ids);

    (void)count;
    if (!result)
        return false;
    retry->reset += strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    PQclear(result);
    progress_show("%lld of %lld contacts", retry->reset, retry->selection.count);
    return true;
}

static bool
confirm(struct retry *retry)
{
    char question[128];

    snprintf(question, sizeof(question), "%lld failed contacts will get a fresh start.",
             retry->selection.count);
    return selection_confirm(&retry->selection, question);
}

/* False if nothing was done. */
static bool
run(struct retry *retry, bool is_dry)
{
    if (!selection_count(&retry->selection) || (!is_dry && !confirm(retry)))
        return false;
    if (is_dry)
        retry->reset = retry->selection.count;
    else if (!selection_each(&retry->selection, reset, retry))
        fprintf(stderr,
                "ctms: stopped: %lld contacts have a fresh start, and the others have not; the "
                "command can be repeated\n",
                retry->reset);
    return true;
}

static void
print_result(const struct retry *retry, bool is_dry)
{
    long long unknown = retry->selection.unknown;

    if (retry->cli->is_json) {
        printf("{\"reset\": %lld, \"unknown\": %lld}\n", retry->reset, unknown);
        return;
    }
    printf("%lld failed contacts %s a fresh start", retry->reset, is_dry ? "would have" : "have");
    if (unknown > 0)
        printf(", %lld not found", unknown);
    putchar('\n');
}

int
cmd_acoustic_retry(struct cli *cli)
{
    const char *error = cli_get_option(cli, "error");
    bool is_dry = cli_get_option(cli, "dry-run") != NULL;
    struct retry retry = {
        .cli = cli,
        .selection = {.cli = cli, .condition = CONDITION, .text = error, .takes_deleted = true},
    };

    if (error && !*error)
        return output_error(cli, CLI_USAGE, "--error must not be empty");
    if (!selection_is_given(cli) && !error)
        return output_error(cli, CLI_USAGE,
                            "choose contacts by an address, --error, --query, --email-file, "
                            "--newsletter, --waitlist or --all");
    retry.selection.is_all = !selection_is_given(cli);
    if (selection_open(&retry.selection)) {
        if (run(&retry, is_dry))
            print_result(&retry, is_dry);
        selection_finish(&retry.selection);
    }
    selection_close(&retry.selection);
    return cli->status;
}
