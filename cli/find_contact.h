/*
 * find_contact.h: finds contacts by any name that somebody may have of them: an address, an
 * email_id, an fxa_id, a basket token, and so on. Commands that take a contact as an argument use
 * it.
 *
 * Any text may be an address, so nothing is decided by the form of the text: all names are looked
 * up, each in its index.
 */
#ifndef CTMS_CLI_FIND_CONTACT_H
#define CTMS_CLI_FIND_CONTACT_H

#include "cli/cli.h"
#include "cli/id_array.h"

/* The names of contacts, for the help of commands. */
#define FIND_CONTACT_ARGUMENT "ADDRESS|EMAIL_ID|FXA_ID|TOKEN"

/* A name that is not unique may lead to very many contacts. */
#define FIND_CONTACT_MAX 100

struct find_contact_match {
    char email_id[ID_LENGTH + 1];
    char names[160]; /* by which it was found, such as "primary_email, fxa_primary_email" */
    bool is_deleted; /* it is no contact any more, but its deletion waits to be sent */
};

struct find_contact {
    struct find_contact_match matches[FIND_CONTACT_MAX];
    int count;
    bool is_more; /* there are more than fit */
};

/*
 * Finds what the text names; each contact is listed once, in the order of email_id. Reports
 * nothing when there is none. Returns false after reporting an error of the database.
 */
bool find_contact(struct cli *cli, const char *text, struct find_contact *found);

/* Writes the text as an email_id in its canonical form. False if it is none. */
bool find_contact_read_id(const char *text, char email_id[ID_LENGTH + 1]);

/* Reports that the text names no contact, and which addresses are near. Returns cli->status. */
int find_contact_report_none(struct cli *cli, const char *text);

#endif
