/*
 * contact/store.h: writes the difference between what is stored and what is wanted.
 */
#ifndef CTMS_CONTACT_STORE_H
#define CTMS_CONTACT_STORE_H

#include "postgres.h"

#include "extension/contact/contact.h"

/*
 * Inserts the row of a new contact into emails. False when one of its unique values is
 * taken, or has just been taken by a transaction that this one had to wait for.
 */
extern bool contact_store_new(const Contact *wanted);

/*
 * Writes every other row that differs, and none that does not. A contact that changes
 * in any row gets a new emails.update_timestamp; with always_touch every contact does.
 * Raises CT409 with `conflict` when an FxA or MoFo id belongs to another contact.
 */
extern void contact_store(const Contact *stored, const Contact *wanted, bool always_touch,
                          const char *conflict);

/* Deletes the one-row group or the whole list of a contact. */
extern void contact_store_delete_group(const pg_uuid_t *email_id, ContactGroup group);

#endif
