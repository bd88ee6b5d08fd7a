/*
 * contact/load.h: reads contacts from the tables. No other file does.
 */
#ifndef CTMS_CONTACT_LOAD_H
#define CTMS_CONTACT_LOAD_H

#include "postgres.h"

#include "extension/contact/contact.h"

typedef enum ContactParts { CONTACT_ROWS = 1, CONTACT_ALL = 3 } ContactParts;

/*
 * Reads the contacts whose email_id the caller has set; every other field is overwritten.
 * contacts[i].rows[GROUP_EMAIL].exists tells whether the contact exists. Null flags become their
 * defaults; every other value is as it is stored. CONTACT_ROWS leaves the lists empty.
 *
 * The Datums live in the current memory context. With is_read_only it reads with the snapshot of
 * the calling statement, otherwise with a new one that includes the transaction's own changes.
 */
extern void contact_load(Contact *contacts, int count, ContactParts parts, bool is_read_only);

/* The same as contact_load() for one; returns whether it exists. */
extern bool contact_load_one(Contact *contact, const pg_uuid_t *email_id, bool is_read_only);

#endif
