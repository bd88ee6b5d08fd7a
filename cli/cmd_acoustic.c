/*
 * cmd_acoustic.c: the table of the commands of `ctms acoustic`, about the queue and what is synced.
 * The commands themselves are in cmd_acoustic_*.c.
 */
#include "cli/cmd_acoustic.h"

#include "cli/find_contact.h"
#include "cli/selection.h"

static const struct cli_option table_options[] = {
    {"table", 't', "TABLE", "main (the default) or waitlist"},
    {NULL, 0, NULL, NULL},
};

static const struct cli_option add_field_options[] = {
    {"table", 't', "TABLE", "main (the default) or waitlist"},
    {"force", 0, NULL, "add a field that ctms does not know"},
    {NULL, 0, NULL, NULL},
};

static const struct cli_option resync_options[] = {
    SELECTION_OPTIONS,
    {"all", 'a', NULL, "every contact"},
    {"live", 'l', NULL, "before what waits in bulk, like the change of a person"},
    {"reset-retries", 'r', NULL, "reset the retries of all contacts that failed"},
    {"dry-run", 'd', NULL, "only show how many"},
    {NULL, 0, NULL, NULL},
};

static const struct cli_option bulk_options[] = {
    SELECTION_OPTIONS,
    {"all", 'a', NULL, "every contact"},
    {"dry-run", 'd', "FOLDER", "only write the files, into a new or empty folder"},
    {"resume", 0, NULL, "only go on with a run that nobody works on"},
    {"cancel", 0, NULL, "give up the open run, unless Acoustic imports its files already"},
    {"status", 0, NULL, "show the open run and the last one"},
    {NULL, 0, NULL, NULL},
};

static const struct cli_option cancel_options[] = {
    SELECTION_OPTIONS,
    {"all", 'a', NULL, "all that waits in bulk"},
    {"dry-run", 'd', NULL, "only show how many"},
    {NULL, 0, NULL, NULL},
};

static const struct cli_option retry_options[] = {
    {"error", 'e', "TEXT", "only those whose last error contains this, in upper or lower case"},
    SELECTION_OPTIONS,
    {"all", 'a', NULL, "all that failed"},
    {"dry-run", 'd', NULL, "only show how many"},
    {NULL, 0, NULL, NULL},
};

static const struct cli_option dump_options[] = {
    {"query", 'q', "SQL", "which contacts: a SELECT with a column email_id"},
    {"table", 't', "TABLE", "main (the default), newsletter, waitlist or product"},
    {"output", 'o', "FILE", "file to write instead of standard output (\"-\")"},
    {"raw", 0, NULL, "no apostrophe before what a spreadsheet takes for a formula"},
    {NULL, 0, NULL, NULL},
};

static const struct cli_option diff_options[] = {
    {"query", 'q', "SQL", "which contacts: a SELECT with a column email_id"},
    {"all", 'a', NULL, "show rows that have not changed too"},
    {NULL, 0, NULL, NULL},
};

static const struct cli_option failed_options[] = {
    {"error", 'e', "TEXT", "only errors with this text, in upper or lower case"},
    {"since", 's', "TIME", "only failures since a time, or an interval such as \"2 hours\""},
    {"limit", 'n', "N", "list at most N (100), the newest"},
    {"summary", 0, NULL, "only the kinds of errors, and how many there are of each"},
    {"csv", 0, NULL, "list as CSV, without the kinds"},
    {NULL, 0, NULL, NULL},
};

const struct cli_command cmd_acoustic[] = {
    {
        .verb = "status",
        .arguments = "",
        .summary = "show the queue: what waits, since when, what failed",
        .run = cmd_acoustic_status,
    },
    {
        .verb = "show",
        .arguments = FIND_CONTACT_ARGUMENT,
        .summary = "tell whether a contact is in Acoustic, and if not, why",
        .text =
            "Any name of a contact will do: also the address of its Firefox account, and its\n"
            "ids at AMO, MoFo, Salesforce and Stripe. If a name leads to several contacts, all\n"
            "are shown. Exit code 4 when there is none.",
        .min_arguments = 1,
        .max_arguments = 1,
        .run = cmd_acoustic_show,
    },
    {
        .verb = "failed",
        .arguments = "[--error TEXT] [--since TIME] [--limit N] [--summary] [--csv]",
        .summary = "list contacts and deletions that could not be sent, and their errors",
        .text =
            "Shows the kinds of errors, with what they mean and what to do, then the contacts.\n"
            "They are listed until they are sent or change.",
        .options = failed_options,
        .run = cmd_acoustic_failed,
    },
    {
        .verb = "fields list",
        .arguments = "",
        .summary = "list the synced fields",
        .options = table_options,
        .run = cmd_acoustic_list_fields,
    },
    {
        .verb = "fields add",
        .arguments = "FIELD",
        .summary = "start syncing a field",
        .text =
            "A field of the main table is a column that ctms fills, or a member of the fields of\n"
            "a waitlist: <waitlist>_waitlist_<member>. A field of the waitlist table is a member "
            "of\n"
            "the fields of waitlists. With --force it may be any name: ctms does not send fields\n"
            "that other systems fill, such as sumo_user.",
        .options = add_field_options,
        .min_arguments = 1,
        .max_arguments = 1,
        .run = cmd_acoustic_add_field,
    },
    {
        .verb = "fields remove",
        .arguments = "FIELD",
        .summary = "stop syncing a field",
        .options = table_options,
        .min_arguments = 1,
        .max_arguments = 1,
        .run = cmd_acoustic_remove_field,
    },
    {
        .verb = "newsletters list",
        .arguments = "",
        .summary = "list the newsletters and the columns that they set",
        .run = cmd_acoustic_list_newsletters,
    },
    {
        .verb = "newsletters add",
        .arguments = "SLUG:COLUMN",
        .summary = "let a newsletter set a column of the main table",
        .text = "A newsletter that no contact has is added with a warning.",
        .min_arguments = 1,
        .max_arguments = 1,
        .run = cmd_acoustic_add_newsletter,
    },
    {
        .verb = "newsletters remove",
        .arguments = "SLUG",
        .summary = "stop syncing a newsletter",
        .min_arguments = 1,
        .max_arguments = 1,
        .run = cmd_acoustic_remove_newsletter,
    },
    {
        .verb = "resync",
        .arguments = SELECTION_ARGUMENTS,
        .summary = "send contacts again",
        .text =
            "Enqueues the contacts as if they had changed, and says first how many they are and\n"
            "about how long sending them takes. It asks if they are more than 1000.\n"
            "Up to 100 contacts that are named as arguments go into the live lane. All others\n"
            "wait in bulk, where they hold up nobody, unless --live is given.\n" SELECTION_HELP
            "Exit code 4 when one that was named is not there.\n\n"
            "  ctms acoustic resync someone@example.com\n"
            "  ctms acoustic resync --newsletter hubs --dry-run\n"
            "  ctms acoustic resync --query \"SELECT email_id FROM ctms.emails WHERE email_lang = "
            "'fr'\"",
        .options = resync_options,
        .max_arguments = -1,
        .timeout_s = 600,
        .run = cmd_acoustic_resync,
    },
    {
        .verb = "bulk",
        .arguments = SELECTION_ARGUMENTS,
        .summary = "send very many contacts by file",
        .text =
            "Enqueues the contacts into the bulk lane as if they had changed; without contacts it\n"
            "takes what waits there. Then it writes files of them, uploads these by SFTP, and has\n"
            "Acoustic import them, one run after the other. It asks if they are more than 1000.\n"
            "What changes meanwhile is sent once more by the agents.\n"
            "It needs the agent's settings of Acoustic, and CTMS_ACOUSTIC_SFTP_...\n"
            "Ctrl-C ends it between two steps; an agent or --resume goes on.\n" SELECTION_HELP
            "Exit code 7 when Acoustic has refused some, 4 when one that was named is not "
            "there.\n\n"
            "  ctms acoustic bulk --all\n"
            "  ctms acoustic bulk --newsletter hubs --dry-run hubs-files",
        .options = bulk_options,
        .max_arguments = -1,
        .timeout_s = 600,
        .run = cmd_acoustic_bulk,
    },
    {
        .verb = "cancel",
        .arguments = SELECTION_ARGUMENTS,
        .summary = "take contacts out of the queue that wait in bulk",
        .text =
            "What has changed of them is not sent until they change again or are resynced. What\n"
            "is being sent, is in the live lane, or must be deleted at Acoustic stays.\n"
            "It asks if they are more than 1000.\n" SELECTION_HELP
            "Exit code 4 when one that was named is not there.\n\n"
            "  ctms acoustic cancel --newsletter hubs\n"
            "  ctms acoustic cancel --all --dry-run",
        .options = cancel_options,
        .max_arguments = -1,
        .timeout_s = 600,
        .run = cmd_acoustic_cancel,
    },
    {
        .verb = "retry",
        .arguments = "[--error TEXT] " SELECTION_ARGUMENTS,
        .summary = "give contacts that failed a fresh start",
        .text = "They are sent again soon, with all their retries. So are deletions that failed.\n"
                "It asks if they are more than 1000.\n" SELECTION_HELP
                "Exit code 4 when one that was named is not there.\n\n"
                "  ctms acoustic retry --error 'column not found' --dry-run\n"
                "  ctms acoustic retry someone@example.com\n"
                "  ctms acoustic retry --all",
        .options = retry_options,
        .max_arguments = -1,
        .timeout_s = 600,
        .run = cmd_acoustic_retry,
    },
    {
        .verb = "dump",
        .arguments = "[--query SQL] [--table TABLE] [--output FILE] [--raw]",
        .summary = "write rows as Acoustic would get them, as CSV",
        .text =
            "The query must have a column email_id; without one, every contact is dumped.\n"
            "Values that begin with = + - @ are written with an apostrophe in front, because a\n"
            "spreadsheet would take them for formulas. --raw writes them as Acoustic gets them.\n"
            "The file holds personal data: only its owner may read it. It replaces one that is\n"
            "there once it is complete; a symbolic link is refused.",
        .options = dump_options,
        .timeout_s = 3600,
        .run = cmd_acoustic_dump,
    },
    {
        .verb = "diff",
        .arguments = "[--query SQL] [--all]",
        .summary = "show what would be sent, row by row",
        .text = "Shows the contacts in the queue, or those of a query with a column email_id.\n"
                "Rows are compared with what was last sent. That is only kept while the setting\n"
                "acoustic_skip_unchanged is on; without it rows are \"unknown\".",
        .options = diff_options,
        .timeout_s = 3600,
        .run = cmd_acoustic_diff,
    },
    {
        .verb = "history",
        .arguments = FIND_CONTACT_ARGUMENT,
        .summary = "show what became of attempts to send a contact, newest first",
        .text = "The setting acoustic_history_age says how long this is kept. Unless the setting\n"
                "acoustic_history_sent is on, only failures and deletions are.\n"
                "Exit code 4 when there is nothing.",
        .min_arguments = 1,
        .max_arguments = 1,
        .run = cmd_acoustic_history,
    },
    {.verb = NULL},
};
