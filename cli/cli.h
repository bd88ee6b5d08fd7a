/*
 * cli.h: what a command of `ctms` consists of, and what it gets when it runs. main.c and
 * all commands include it.
 *
 * Commands are rows of constant tables, with one table for each file cmd_<group>.c; main.c lists
 * the tables. The same rows are used for parsing and for every --help, so that the two cannot
 * differ.
 */
#ifndef CTMS_CLI_H
#define CTMS_CLI_H

#include <stdbool.h>
#include <libpq-fe.h>
#include "common/config.h"

/* Exit codes; documented in docs/command-line.md and printed by `ctms --help`. */
enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1,        /* refused, or a part of what was asked failed */
    CLI_USAGE = 2,         /* the command line or a setting is wrong */
    CLI_UNAVAILABLE = 3,   /* the database cannot be reached, or took too long */
    CLI_NOT_FOUND = 4,     /* no such client, waitlist, contact ... */
    CLI_EXISTS = 5,        /* it exists already */
    CLI_NOT_CONFIRMED = 6, /* not confirmed, so nothing was done */
    CLI_PARTLY = 7,        /* done, but without the rows or lines that were refused */
};

#define CLI_MAX_OPTIONS 12

struct cli_option {
    const char *name;     /* long name; null ends a list */
    char letter;          /* short form, or 0 */
    const char *argument; /* name of its value in --help; null for a flag */
    const char *help;
};

struct cli;

struct cli_command {
    const char *verb;      /* one or two words; "" if the group is the command; null ends a table */
    const char *arguments; /* as --help shows them */
    const char *summary;   /* one line */
    const char *text;      /* more text for --help, or null */
    const struct cli_option *options;
    int min_arguments;
    int max_arguments;  /* -1: no limit */
    bool is_offline;    /* needs no database */
    bool is_unsettled;  /* runs without settings too: cli->settings is null */
    bool is_for_reader; /* the role ctms_reader is enough */
    int timeout_s;      /* time limit of one statement without --timeout; 0 means 60 */
    int (*run)(struct cli *cli);
};

struct cli_group {
    const char *name;
    const char *summary;
    const struct cli_command *commands;
};

/* One run of the program. Owned by main(). */
struct cli {
    const struct cli_group *groups; /* all of them */
    const struct cli_group *group;
    const struct cli_command *command;
    char **arguments; /* without the options; there are argument_count of them */
    int argument_count;
    const char *values[CLI_MAX_OPTIONS]; /* of command->options; "" for a given flag */
    const char *db_url;                  /* --db-url, or null */
    const char *config_file;             /* that is read: given, or found; null for none */
    bool is_config_given;                /* by --config, or CTMS_CONFIG */
    config *settings;
    bool is_json;
    bool is_confirmed; /* --yes */
    int timeout_s;     /* --timeout; -1 when not given */
    PGconn *db;        /* connected before run(), unless the command is offline */
    int status;        /* the exit code, set by the function that reports an error */
};

extern const struct cli_command cmd_acoustic[];
extern const struct cli_command cmd_clients[];
extern const struct cli_command cmd_delete[];
extern const struct cli_command cmd_doctor[];
extern const struct cli_command cmd_healthcheck[];
extern const struct cli_command cmd_help[];
extern const struct cli_command cmd_import[];
extern const struct cli_command cmd_settings[];
extern const struct cli_command cmd_stripe[];
extern const struct cli_command cmd_waitlists[];

/* The value of an option of the command ("" for a flag); null when it was not given. */
const char *cli_get_option(const struct cli *cli, const char *name);
/* The number that the option has; value stays if it was not given. Returns false after reporting
 * that it is none from 0 to max. */
bool cli_get_number(struct cli *cli, const char *name, long long max, long long *value);

#endif
