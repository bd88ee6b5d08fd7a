/*
 * cmd_stripe.h: what the files of `ctms stripe` share: cmd_stripe.c reads objects and sends them,
 * cmd_stripe_report.c tells what was done.
 */
#ifndef CTMS_CLI_CMD_STRIPE_H
#define CTMS_CLI_CMD_STRIPE_H

#include <jansson.h>
#include <libpq-fe.h>
#include "cli/cli.h"

/* An action that a function reports, and its name in the output. */
struct action {
    const char *key;
    const char *label;
};

#define ACTION_COUNT_MAX 5
/* Longer than the path through as many lists as ctms.unwrap_stripe() accepts. */
#define PATH_TEXT_MAX 96

struct object {
    struct object *next;
    const char *source;        /* its file */
    unsigned long long number; /* in its file, from 1 */
    /* Leads to it from a Stripe list, as ctms.unwrap_stripe() says; "": it comes from no list. */
    char path[PATH_TEXT_MAX];
    size_t length;
    char text[];
};

struct object_list {
    struct object *first;
    struct object **end;
    size_t count;
    size_t bytes;
};

struct ingest {
    struct cli *cli;
    const char *sql;      /* statement that takes an object */
    const char *list_sql; /* that takes an array of them; NULL: there is none */
    const struct action *actions;
    bool is_quiet;
    const char *source;        /* file of the current object */
    unsigned long long number; /* of the current object in its file */
    const char *path;          /* of the current object in its list */
    unsigned long long objects;
    unsigned long long failed;
    unsigned long long counts[ACTION_COUNT_MAX];
    json_t *unused_types;       /* how many objects of each type were skipped for their type */
    struct object_list batch;   /* read, and not stored yet */
    struct object_list waiting; /* for the objects to which they refer */
    bool is_again;              /* the objects have been tried before */
    bool is_last_round;         /* objects do not wait any more */
};

/* Takes the report of the current object. */
void cmd_stripe_take_report(struct ingest *ingest, json_t *report);
/* Takes the error that the current object, or the list that it is, met. */
void cmd_stripe_take_error(struct ingest *ingest, const PGresult *result);
/* Says that the current object, a list, is not all that there is. */
void cmd_stripe_warn_of_more(const struct ingest *ingest);
void cmd_stripe_print_summary(const struct ingest *ingest);

#endif
