/* words.c: looks for words in the tables of commands; see words.h. */
#include "cli/words.h"

#include <stdio.h>
#include <string.h>
#include "cli/near.h"
#include "cli/output.h"

static const struct cli_group *
find_group(const struct cli_group *groups, const char *name)
{
    for (; groups->name; groups++)
        if (strcmp(groups->name, name) == 0)
            return groups;
    return NULL;
}

/* True if the word is the first of the verb. */
static bool
begins_with(const char *verb, const char *word)
{
    size_t first = strcspn(verb, " ");

    return strlen(word) == first && strncmp(verb, word, first) == 0;
}

/* Finds the command whose verb is the first one or two words. *used becomes the number of those
 * that are right, also if the second one is wrong or missing. */
static const struct cli_command *
find_command(const struct cli_group *group, char **words, int count, int *used)
{
    *used = 0;
    for (const struct cli_command *command = group->commands; command->verb; command++) {
        const char *second = strchr(command->verb, ' ');

        if (!*command->verb)
            return command;
        if (count == 0 || !begins_with(command->verb, words[0]))
            continue;
        *used = 1;
        if (second && (count == 1 || strcmp(words[1], second + 1) != 0))
            continue;
        *used += second != NULL;
        return command;
    }
    return NULL;
}

/* "acoustic fields add" */
static void
write_name(char name[NEAR_SIZE], const struct cli_group *group, const struct cli_command *command)
{
    snprintf(name, NEAR_SIZE, "%s%s%s", group->name, *command->verb ? " " : "", command->verb);
}

/* Offers the commands of a group that have the word in its place: where the user expected them. */
static void
offer_places(near_names *near, const struct cli_group *group, const char *word)
{
    char name[NEAR_SIZE];

    for (const struct cli_command *command = group->commands; command->verb; command++) {
        write_name(name, group, command);
        if (begins_with(command->verb, word))
            near_offer_as(near, word, name);
    }
}

/* Offers the commands of a group that are near in the first word that is wrong. */
static void
offer_commands(near_names *near, const struct cli_group *group, char **words, int count)
{
    for (const struct cli_command *command = group->commands; command->verb; command++) {
        const char *second = strchr(command->verb, ' ');
        char first[NEAR_SIZE];
        char name[NEAR_SIZE];

        write_name(name, group, command);
        snprintf(first, sizeof(first), "%.*s", (int)strcspn(command->verb, " "), command->verb);
        if (second && count > 1 && strcmp(first, words[0]) == 0) {
            near->given = words[1];
            near_offer_as(near, second + 1, name);
        } else {
            near->given = words[0];
            near_offer_as(near, first, name);
        }
    }
}

static enum words_result
refuse_group(struct cli *cli, const char *word)
{
    near_names near;

    near_begin(&near, word);
    for (const struct cli_group *group = cli->groups; group->name; group++) {
        near_offer(&near, group->name);
        offer_places(&near, group, word);
    }
    output_error(cli, CLI_USAGE, "unknown command \"%s\"%s", word,
                 near.count > 0 ? near_question(&near) : words_see_help(cli));
    return WORDS_UNKNOWN;
}

/* used: how many of the words behind the group are right. */
static enum words_result
refuse_command(struct cli *cli, char **words, int count, int used)
{
    near_names near;

    near_begin(&near, words[0]);
    offer_commands(&near, cli->group, words, count);
    if (near.count == 0)
        for (const struct cli_group *group = cli->groups; group->name; group++)
            offer_places(&near, group, words[0]);
    output_error(cli, CLI_USAGE, "unknown command \"%s %s%s%s\"%s", cli->group->name, words[0],
                 used > 0 ? " " : "", used > 0 ? words[1] : "",
                 near.count > 0 ? near_question(&near) : words_see_help(cli));
    return WORDS_UNKNOWN;
}

enum words_result
words_find(struct cli *cli, char **words, int count, int *used)
{
    int more;

    cli->command = NULL;
    cli->group = find_group(cli->groups, words[0]);
    if (!cli->group)
        return refuse_group(cli, words[0]);
    cli->command = find_command(cli->group, words + 1, count - 1, &more);
    *used = 1 + more;
    if (cli->command)
        return WORDS_COMMAND;
    return *used == count ? WORDS_GROUP : refuse_command(cli, words + 1, count - 1, more);
}

const char *
words_see_help(const struct cli *cli)
{
    static char text[128];
    char name[NEAR_SIZE] = "";

    if (cli->command)
        write_name(name, cli->group, cli->command);
    snprintf(text, sizeof(text), "; see \"ctms %s%s--help\"",
             !cli->group    ? ""
             : cli->command ? name
                            : cli->group->name,
             cli->group ? " " : "");
    return text;
}
