/*
 * selection.h: which contacts a command of `ctms acoustic` means: those of its arguments and of
 * the options SELECTION_OPTIONS. It finds them, counts them, asks if there are many, and passes
 * them on in batches. The commands that change the queue use it.
 *
 *     struct selection selection = {.cli = cli};
 *     if (selection_open(&selection) && selection_count(&selection) &&
 *         selection_confirm(&selection, "... will be ..."))
 *         selection_each(&selection, take, arg);
 *     selection_close(&selection);
 *
 * Whatever can be wrong with the selection is found before the first batch is passed on. Memory
 * does not grow with the number of contacts, but for a file of addresses (addresses.h). No
 * transaction is open while a batch is at work.
 */
#ifndef CTMS_CLI_SELECTION_H
#define CTMS_CLI_SELECTION_H

#include <stdio.h>
#include "cli/addresses.h"
#include "cli/cli.h"
#include "cli/find_contact.h"
#include "common/buf.h"

#define SELECTION_ARGUMENTS                                                                        \
    "[CONTACT]... [--query SQL] [--email-file FILE] [--newsletter NAME] [--waitlist NAME] [--all]"

/* For the help of the command. */
#define SELECTION_HELP "CONTACT is " FIND_CONTACT_ARGUMENT ".\n"

/* An option --all of its own says what all are. */
#define SELECTION_OPTIONS                                                                          \
    {"query", 'q', "SQL", "contacts of a SELECT with a column email_id"},                          \
        {"email-file", 'f', "FILE",                                                                \
         "contacts with these addresses, one a line or CSV; \"-\" is standard input"},             \
        ADDRESSES_MAX_ERRORS_OPTION,                                                               \
        {"newsletter", 'n', "NAME", "contacts with this newsletter, subscribed or not"},           \
    {                                                                                              \
        "waitlist", 'w', "NAME", "contacts with this waitlist, subscribed or not"                  \
    }

/* A command asks before it touches more contacts than these. */
#define SELECTION_ASK_ABOVE 1000

struct selection {
    struct cli *cli;
    /* SQL on the columns of the queue, with the parameter $2::text: only rows of the queue count
     * for which it is true, and --all are all of these. Null: every contact counts. */
    const char *condition;
    const char *text;   /* $2 */
    bool takes_deleted; /* deleted contacts count, too, if the condition is true for their rows */
    bool is_all;        /* as --all, without the option */

    /* after selection_open() */
    long long unknown; /* contacts that were named and are not there */

    /* after selection_count() */
    long long count;
    bool is_estimate; /* the count is from the statistics of the server */

    /* internal */
    struct addresses addresses;
    buf arguments; /* an array of the ids of the arguments */
    int argument_ids;
    FILE *queried; /* the ids of the query, each of ID_LENGTH characters */
    bool is_told;  /* unknown addresses of the file were reported */
};

/* Takes some contacts, as an array literal; false ends the walk. */
typedef bool (*selection_take)(void *arg, const char *ids, int count);

/* True when arguments or options choose contacts. */
bool selection_is_given(const struct cli *cli);
/* True when options do. */
bool selection_is_by_option(const struct cli *cli);

/* Reads what was named. Returns false after reporting what is wrong. Close it in any case. */
bool selection_open(struct selection *selection);
void selection_close(struct selection *selection);

/* Counts the contacts, and reports the addresses of the file that are unknown. Many contacts of
 * which every one counts are estimated. Returns false after reporting an error. */
bool selection_count(struct selection *selection);

/* True if there are few, or the user agrees to the question; otherwise see output_confirm(). */
bool selection_confirm(const struct selection *selection, const char *question);

/*
 * Passes on the contacts in batches of at most 1000. One that is named in two ways may be passed on
 * twice. Returns false after an error or an interrupt was reported, or if take() returned false.
 */
bool selection_each(struct selection *selection, selection_take take, void *arg);

/* Sets the exit code if some of what was named is not there, or could not be read. */
int selection_finish(const struct selection *selection);

#endif
