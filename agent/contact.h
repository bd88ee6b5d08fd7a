/*
 * contact.h: a claimed contact on its way to Acoustic, and its rows.
 *
 * A contact is in exactly one list at a time (see line.h), which owns it; the contact owns its
 * rows. Rows are read from the database once and kept as the XML that will be sent. Nothing here
 * sends.
 */
#ifndef AGENT_CONTACT_H
#define AGENT_CONTACT_H

#include <stdbool.h>
#include <sys/queue.h>

#include "acoustic/classify.h"
#include "acoustic/table.h"
#include "common/buf.h"

#define EMAIL_ID_SIZE 37
#define GENERATION_SIZE 21
#define ERROR_SIZE 400

struct contact;
struct contact_list;

/* The lane of the queue in which a contact waited. */
typedef enum queue_lane {
    LANE_LIVE, /* a person's change */
    LANE_BULK, /* a wave: a resync, an import, a changed price */
    LANES,
} queue_lane;

typedef enum row_state {
    ROW_IDLE,     /* its contact is not at Acoustic yet, or it need not be sent any more */
    ROW_WAITING,  /* in the queue of its table */
    ROW_TAKEN,    /* in a call */
    ROW_ACCEPTED, /* stored by Acoustic */
} row_state;

/* A relational row. */
typedef struct contact_row {
    struct contact *contact;
    acoustic_table table;
    bool is_deletion; /* to be deleted at Acoustic; the columns are its key */
    row_state state;
    double ready_at_s; /* since when it has been waiting to be sent */
    buf columns;       /* XML */
    TAILQ_ENTRY(contact_row) link;
} contact_row;

TAILQ_HEAD(row_list, contact_row);

typedef struct contact {
    char email_id[EMAIL_ID_SIZE];
    char generation[GENERATION_SIZE];
    char state[8];       /* as ctms.claim_acoustic() returns it */
    bool is_deletion;    /* of a contact that was deleted */
    bool is_unchanged;   /* nothing has to be sent */
    bool is_skipped;     /* sending is switched off */
    queue_lane lane;     /* when it was claimed */
    int retry;           /* failed attempts before this one */
    double lease_ends_s; /* monotonic; never later than the end in the database */

    buf columns;     /* XML of the main row */
    buf newsletters; /* their names, each with its NUL */
    buf hashes;      /* of all rows, for ctms.finish_acoustic(); may be empty */
    contact_row **rows;
    int row_count;
    int rows_left;  /* not accepted yet */
    int rows_taken; /* in a call */
    int row_counts[ACOUSTIC_TABLES];

    buf personal;            /* values that must not be in last_error, each with its NUL */
    char *domain;            /* of the address; may be null */
    char *trace;             /* the address, if it asks to be traced */
    const char *fxa_created; /* whether fxa_created_date was converted, for the log; may be null */

    bool is_dropped; /* no outcome is written, because the lease is too short or given back */
    bool has_failed;
    failure_class class; /* of the failure */
    char error[ERROR_SIZE];
    const char *statuses[ACOUSTIC_TABLES]; /* of the last call for each table; may be null */
    double durations_s[ACOUSTIC_TABLES];
    struct contact_list *list; /* the list that it is in, or null; for line.c */
    TAILQ_ENTRY(contact) link;
} contact;

TAILQ_HEAD(contact_list, contact);

contact *contact_new(const char *email_id, const char *generation, int retry, const char *state,
                     queue_lane lane, double lease_ends_s);
void contact_free(contact *c);
/* Empties the list. */
void contact_free_list(struct contact_list *list);

/* Takes a row of ctms.acoustic_outgoing(): its kind and json, an object whose values are texts.
 * Returns false when the row is not valid; then the contact cannot be sent. */
bool contact_take_row(contact *c, const char *kind, const char *json, size_t length);

/* Overwrites everything in the text that may be personal: addresses, and values of this contact. */
void contact_redact(const contact *c, char *text);
/* Notes a failure, unless one was noted before. text may be null. The stored error contains nothing
 * personal; the database adds the time. */
void contact_fail(contact *c, failure_class class, const char *what, const char *text);

#endif
