/*
 * contact.h: a claimed contact on its way to Acoustic, and its rows.
 *
 * Owned by exactly one list at a time (see line.h); its rows belong to it. Rows are taken
 * from the database once and kept as the XML that will be sent.
 */
#ifndef AGENT_CONTACT_H
#define AGENT_CONTACT_H

#include <stdbool.h>
#include <sys/queue.h>

#include "agent/acoustic/classify.h"
#include "agent/acoustic/table.h"
#include "common/buf.h"

#define EMAIL_ID_SIZE 37
#define GENERATION_SIZE 21
#define ERROR_SIZE 400

struct contact;
struct contact_list;

typedef enum row_state {
    ROW_IDLE,     /* its contact is not there yet, or it is needed no more */
    ROW_WAITING,  /* in the queue of its table */
    ROW_TAKEN,    /* in a call */
    ROW_ACCEPTED, /* stored by Acoustic */
} row_state;

/* A relational row. */
typedef struct contact_row {
    struct contact *contact;
    acoustic_table table;
    bool is_deletion; /* to be deleted there; the columns are its key */
    row_state state;
    double ready_at_s; /* since when it waits to be sent */
    buf columns;       /* XML */
    TAILQ_ENTRY(contact_row) link;
} contact_row;

TAILQ_HEAD(row_list, contact_row);

typedef struct contact {
    char email_id[EMAIL_ID_SIZE];
    char generation[GENERATION_SIZE];
    char state[8];       /* as ctms.claim_acoustic() gives it */
    bool is_deletion;    /* of a contact that is gone */
    bool is_unchanged;   /* there is nothing to send */
    bool is_skipped;     /* sending is turned off */
    int retry;           /* failed attempts before this one */
    double lease_ends_s; /* monotonic; on the safe side of the database's */

    buf columns;     /* XML of the main row */
    buf newsletters; /* their names, each with its NUL */
    buf hashes;      /* of all rows, for ctms.finish_acoustic(); empty without */
    contact_row **rows;
    int row_count;
    int rows_left;  /* not accepted yet */
    int rows_taken; /* in a call */
    int row_counts[ACOUSTIC_TABLES];

    buf personal;            /* values that must not get into last_error, each with its NUL */
    char *domain;            /* of the address; null without */
    char *trace;             /* the address, when it asks to be traced */
    const char *fxa_created; /* what became of fxa_created_date, for the log; null without */

    bool is_dropped; /* no outcome will be written: its lease is too short, or given back */
    bool has_failed;
    failure_class class; /* of the failure */
    char error[ERROR_SIZE];
    const char *statuses[ACOUSTIC_TABLES]; /* of the last call for each table; null without */
    double durations_s[ACOUSTIC_TABLES];
    struct contact_list *list; /* that it is in; null: none. For line.c */
    TAILQ_ENTRY(contact) link;
} contact;

TAILQ_HEAD(contact_list, contact);

contact *contact_new(const char *email_id, const char *generation, int retry, const char *state,
                     double lease_ends_s);
void contact_free(contact *c);
/* Empties the list. */
void contact_free_list(struct contact_list *list);

/* Takes a row of ctms.acoustic_outgoing(): kind as there, json an object of texts. False
 * when it is none of that; the contact cannot be sent then. */
bool contact_take_row(contact *c, const char *kind, const char *json, size_t length);

/* Overwrites in the text whatever may be personal: addresses, and values of this contact. */
void contact_redact(const contact *c, char *text);
/* Notes the first failure; text may be null. The stored error holds nothing personal; the
 * database adds the time. */
void contact_fail(contact *c, failure_class class, const char *what, const char *text);

#endif
