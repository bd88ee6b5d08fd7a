/*
 * help.c: prints the help of the program, of a group of commands and of one command.
 */
#include "cli/help.h"

#include <string.h>
#include "cli/settings_file.h"

static void
print_options(FILE *stream, const struct cli_option *options)
{
    for (; options && options->name; options++) {
        char left[64];

        snprintf(left, sizeof(left), "%c%c%s --%s%s%s", options->letter ? '-' : ' ',
                 options->letter ? options->letter : ' ', options->letter ? "," : " ",
                 options->name, options->argument ? " " : "",
                 options->argument ? options->argument : "");
        fprintf(stream, "  %-28s %s\n", left, options->help);
    }
}

static void
print_commands(FILE *stream, const struct cli_group *group, const char *word)
{
    for (const struct cli_command *command = group->commands; command->verb; command++) {
        char left[160];

        if (strncmp(command->verb, word, strlen(word)) != 0)
            continue;
        snprintf(left, sizeof(left), "%s%s%s %s", group->name, *command->verb ? " " : "",
                 command->verb, command->arguments);
        fprintf(stream, "  %-46s %s\n", left, command->summary);
    }
}

static void
print_exit_codes(FILE *stream)
{
    fputs(
        "\nExit codes:\n"
        "  0 done   1 refused or failed   2 wrong usage or setting   3 database away or too slow\n"
        "  4 no such thing   5 exists already   6 not confirmed   7 done in part\n",
        stream);
}

void
help_print_program(FILE *stream, const struct cli_group *groups, const struct cli_option *globals)
{
    fputs("ctms: manage contacts, API clients, waitlists and the sync to Acoustic\n\n"
          "Usage: ctms [OPTION]... COMMAND ...\n\nCommands:\n",
          stream);
    for (; groups->name; groups++)
        print_commands(stream, groups, "");
    fputs("\nOptions of every command:\n", stream);
    print_options(stream, globals);
    fputs("\nSettings: environment variables, and lines of the file that --config names, or else\n",
          stream);
    settings_file_print_places(stream);
    config_print_settings(CONFIG_CLI, stream);
    print_exit_codes(stream);
    fputs("\n\"ctms help COMMAND\" says more about a command.\n", stream);
}

void
help_print_group(FILE *stream, const struct cli_group *group, const char *word)
{
    fprintf(stream, "ctms %s: %s\n\nCommands:\n", group->name, group->summary);
    print_commands(stream, group, word);
    fprintf(stream, "\n\"ctms help %s COMMAND\" says more about a command.\n", group->name);
}

void
help_print_command(FILE *stream, const struct cli_group *group, const struct cli_command *command,
                   const struct cli_option *globals)
{
    fprintf(stream, "Usage: ctms %s%s%s [OPTION]...%s%s\n\n%s\n", group->name,
            *command->verb ? " " : "", command->verb, *command->arguments ? " " : "",
            command->arguments, command->summary);
    if (command->text)
        fprintf(stream, "\n%s\n", command->text);
    if (command->options && command->options->name) {
        fputs("\nOptions:\n", stream);
        print_options(stream, command->options);
    }
    fputs("\nOptions of every command:\n", stream);
    print_options(stream, globals);
    print_exit_codes(stream);
}
