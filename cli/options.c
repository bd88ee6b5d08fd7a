/*
 * options.c: finds the command in the tables and parses its options with getopt_long; see
 * options.h.
 */
#include "cli/options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "cli/help.h"
#include "cli/near.h"
#include "cli/output.h"
#include "cli/words.h"
#include "common/version.h"

enum global_option {
    OPTION_DB_URL,
    OPTION_CONFIG,
    OPTION_TIMEOUT,
    OPTION_JSON,
    OPTION_YES,
    OPTION_HELP,
    OPTION_VERSION,
    OPTION_GLOBALS
};

/* The options that every command takes. */
static const struct cli_option global_options[] = {
    [OPTION_DB_URL] = {"db-url", 0, "URL", "database to use instead of CTMS_DB_URL"},
    [OPTION_CONFIG] = {"config", 0, "FILE", "file of NAME=value lines; the environment wins"},
    [OPTION_TIMEOUT] = {"timeout", 0, "SECONDS", "time limit of one statement, 0 for none"},
    [OPTION_JSON] = {"json", 0, NULL, "print data as JSON"},
    [OPTION_YES] = {"yes", 'y', NULL, "do not ask for confirmation"},
    [OPTION_HELP] = {"help", 'h', NULL, "show this help"},
    [OPTION_VERSION] = {"version", 'V', NULL, "show the version"},
    [OPTION_GLOBALS] = {NULL, 0, NULL, NULL},
};

/* getopt_long returns this plus the option's place for an option without a letter. */
#define LONG_ONLY 256

/* The command's options come first in getopt's tables, then the global ones. */
struct parser {
    const struct cli_option *options[CLI_MAX_OPTIONS + OPTION_GLOBALS];
    struct option longs[CLI_MAX_OPTIONS + OPTION_GLOBALS + 1];
    char letters[2 * (CLI_MAX_OPTIONS + OPTION_GLOBALS) + 3];
    bool is_given[CLI_MAX_OPTIONS + OPTION_GLOBALS];
    int count;
    int command_count;
    bool is_help;
    bool is_version;
};

static void
parser_add(struct parser *parser, const struct cli_option *option)
{
    int place = parser->count++;
    int has_argument = option->argument ? required_argument : no_argument;
    char *end = parser->letters + strlen(parser->letters);

    parser->options[place] = option;
    parser->longs[place] = (struct option){option->name, has_argument, NULL, LONG_ONLY + place};
    if (option->letter)
        *end++ = option->letter;
    if (option->letter && option->argument)
        *end = ':';
}

/* prefix: "+" stops at the first word that is not an option; ":" reports a missing value
 * separately. */
static void
parser_init(struct parser *parser, const struct cli_option *options, const char *prefix)
{
    *parser = (struct parser){0};
    memcpy(parser->letters, prefix, strlen(prefix));
    for (; options && options->name; options++)
        parser_add(parser, options);
    parser->command_count = parser->count;
    for (int i = 0; i < OPTION_GLOBALS; i++)
        parser_add(parser, &global_options[i]);
}

static int
parser_place(const struct parser *parser, int returned)
{
    if (returned >= LONG_ONLY)
        return returned - LONG_ONLY;
    for (int i = 0; i < parser->count; i++)
        if (parser->options[i]->letter == returned)
            return i;
    return -1;
}

/* Reads a number from 0 to max. */
static bool
read_number(struct cli *cli, const char *name, const char *text, long long max, long long *value)
{
    char *end;

    errno = 0;
    *value = strtoll(text ? text : "", &end, 10);
    if (!errno && text && end != text && !*end && *value >= 0 && *value <= max)
        return true;
    output_error(cli, CLI_USAGE, "--%s must be a number from 0 to %lld, not \"%s\"", name, max,
                 text);
    return false;
}

static bool
set_timeout(struct cli *cli, const char *text)
{
    long long seconds;

    /* The server counts milliseconds in an int. */
    if (!read_number(cli, "timeout", text, INT_MAX / 1000, &seconds))
        return false;
    cli->timeout_s = (int)seconds;
    return true;
}

static bool
set_global(struct cli *cli, struct parser *parser, enum global_option which, const char *value)
{
    switch (which) {
    case OPTION_DB_URL: cli->db_url = value; return true;
    case OPTION_CONFIG:
        cli->config_file = value;
        cli->is_config_given = true;
        return true;
    case OPTION_TIMEOUT: return set_timeout(cli, value);
    case OPTION_JSON: cli->is_json = true; return true;
    case OPTION_YES: cli->is_confirmed = true; return true;
    case OPTION_HELP: parser->is_help = true; return true;
    case OPTION_VERSION: parser->is_version = true; return true;
    case OPTION_GLOBALS: break;
    }
    return false;
}

/* getopt has refused a word: optopt is 0 for a long option that it does not know. What is written
 * behind "=" may be secret. */
static bool
refuse_option(struct cli *cli, const struct parser *parser, const char *word)
{
    char name[NEAR_SIZE];
    near_names near;

    if (optopt >= LONG_ONLY) {
        output_error(cli, CLI_USAGE, "option \"--%s\" takes no value",
                     parser->options[optopt - LONG_ONLY]->name);
        return false;
    }
    if (optopt != 0) {
        output_error(cli, CLI_USAGE, "unknown option \"-%c\"%s", optopt, words_see_help(cli));
        return false;
    }
    snprintf(name, sizeof(name), "%.*s", (int)strcspn(word, "="), word);
    near_begin(&near, name + 2);
    for (int i = 0; i < parser->count; i++) {
        char shown[NEAR_SIZE];

        snprintf(shown, sizeof(shown), "--%s", parser->options[i]->name);
        near_offer_as(&near, parser->options[i]->name, shown);
    }
    output_error(cli, CLI_USAGE, "unknown option \"%s\"%s", name,
                 near.count > 0 ? near_question(&near) : words_see_help(cli));
    return false;
}

/* Parses from argv[optind] on. */
static bool
parser_run(struct parser *parser, struct cli *cli, int argc, char **argv)
{
    int returned;

    opterr = 0;
    while ((returned = getopt_long(argc, argv, parser->letters, parser->longs, NULL)) != -1) {
        int place = parser_place(parser, returned);

        if (returned == ':') {
            output_error(cli, CLI_USAGE, "option \"%s\" needs a value%s", argv[optind - 1],
                         words_see_help(cli));
            return false;
        }
        if (place < 0)
            return refuse_option(cli, parser, argv[optind - 1]);
        if (optarg && parser->is_given[place]) {
            output_error(cli, CLI_USAGE, "option \"--%s\" is given twice",
                         parser->options[place]->name);
            return false;
        }
        parser->is_given[place] = true;
        if (place < parser->command_count)
            cli->values[place] = optarg ? optarg : "";
        else if (!set_global(cli, parser, (enum global_option)(place - parser->command_count),
                             optarg))
            return false;
    }
    return true;
}

/* True if the rest of the command line asks for help. */
static bool
asks_for_help(int argc, char **argv, int place)
{
    for (; place < argc; place++)
        if (strcmp(argv[place], "--help") == 0 || strcmp(argv[place], "-h") == 0)
            return true;
    return false;
}

/* Reads the words of the command at argv[optind]; moves optind behind them. */
static enum options_result
read_words(struct cli *cli, int argc, char **argv)
{
    int count = 0;
    int used;
    bool is_help;

    while (optind + count < argc && argv[optind + count][0] != '-')
        count++;
    if (count == 0) {
        help_print_program(stderr, cli->groups, global_options);
        cli->status = CLI_USAGE;
        return OPTIONS_INVALID;
    }
    switch (words_find(cli, argv + optind, count, &used)) {
    case WORDS_UNKNOWN: return OPTIONS_INVALID;
    case WORDS_COMMAND: optind += used; return OPTIONS_RUN;
    case WORDS_GROUP: break;
    }
    is_help = asks_for_help(argc, argv, optind + count);
    help_print_group(is_help ? stdout : stderr, cli->group, used > 1 ? argv[optind + 1] : "");
    cli->status = is_help ? CLI_OK : CLI_USAGE;
    return is_help ? OPTIONS_DONE : OPTIONS_INVALID;
}

static enum options_result
check_arguments(struct cli *cli)
{
    const struct cli_command *command = cli->command;

    if (cli->argument_count >= command->min_arguments &&
        (command->max_arguments < 0 || cli->argument_count <= command->max_arguments))
        return OPTIONS_RUN;
    output_error(cli, CLI_USAGE, "%s argument; usage: ctms %s%s%s%s%s",
                 cli->argument_count < command->min_arguments ? "missing" : "unexpected",
                 cli->group->name, *command->verb ? " " : "", command->verb,
                 *command->arguments ? " " : "", command->arguments);
    return OPTIONS_INVALID;
}

/* Answers --help and --version before the command, and --version anywhere. */
static enum options_result
answer_program(const struct cli *cli, const struct parser *parser)
{
    if (parser->is_version)
        printf("ctms %s\n", CTMS_VERSION);
    else
        help_print_program(stdout, cli->groups, global_options);
    return OPTIONS_DONE;
}

enum options_result
options_parse(struct cli *cli, int argc, char **argv)
{
    struct parser parser;
    bool is_given[OPTION_GLOBALS];
    enum options_result result;

    optind = 1;
    parser_init(&parser, NULL, "+:");
    if (!parser_run(&parser, cli, argc, argv))
        return OPTIONS_INVALID;
    if (parser.is_help || parser.is_version)
        return answer_program(cli, &parser);
    result = read_words(cli, argc, argv);
    if (result != OPTIONS_RUN)
        return result;

    /* From here on getopt reorders arguments, so it must not see the words that were read
     * before. */
    argc -= optind - 1;
    argv += optind - 1;
    optind = 0;
    memcpy(is_given, parser.is_given, sizeof(is_given));
    parser_init(&parser, cli->command->options, ":");
    memcpy(parser.is_given + parser.command_count, is_given, sizeof(is_given));
    if (!parser_run(&parser, cli, argc, argv))
        return OPTIONS_INVALID;
    if (parser.is_version)
        return answer_program(cli, &parser);
    if (parser.is_help) {
        help_print_command(stdout, cli->group, cli->command, global_options);
        return OPTIONS_DONE;
    }
    cli->arguments = argv + optind;
    cli->argument_count = argc - optind;
    return check_arguments(cli);
}

/* ---- ctms help -------------------------------------------------------------------- */

static int
run_help(struct cli *cli)
{
    int count = cli->argument_count;
    int used;

    if (count == 0) {
        help_print_program(stdout, cli->groups, global_options);
        return cli->status;
    }
    switch (words_find(cli, cli->arguments, count, &used)) {
    case WORDS_UNKNOWN: break;
    case WORDS_GROUP:
        help_print_group(stdout, cli->group, used > 1 ? cli->arguments[1] : "");
        break;
    case WORDS_COMMAND: help_print_command(stdout, cli->group, cli->command, global_options); break;
    }
    return cli->status;
}

const struct cli_command cmd_help[] = {
    {
        .verb = "",
        .arguments = "[COMMAND]...",
        .summary = "explain a command",
        .text = "\"ctms help clients add\" is the same as \"ctms clients add --help\".",
        .max_arguments = -1,
        .is_offline = true,
        .is_unsettled = true,
        .run = run_help,
    },
    {.verb = NULL},
};

const char *
cli_get_option(const struct cli *cli, const char *name)
{
    for (int i = 0; cli->command->options && cli->command->options[i].name; i++)
        if (strcmp(cli->command->options[i].name, name) == 0)
            return cli->values[i];
    return NULL;
}

bool
cli_get_number(struct cli *cli, const char *name, long long max, long long *value)
{
    const char *text = cli_get_option(cli, name);

    return !text || read_number(cli, name, text, max, value);
}
