/*
 * contact/store.h: writes the difference between the stored and the wanted contact.
 */
#ifndef CTMS_CONTACT_STORE_H
#define CTMS_CONTACT_STORE_H

#include "postgres.h"

#include "extension/contact/contact.h"

/*
 * Inserts the row of a new contact into emails. False when one of its unique values is taken,
 * possibly by a transaction for which this one had to wait.
 */
extern bool contact_store_new(const Contact *wanted);

/*
 * Writes every other row that differs, and no row that does not. If any row of a contact changes,
 * emails.update_timestamp changes too; with always_touch it always does. False when a row could
 * not be inserted: plain SQL has just inserted it, or its FxA or MoFo id belongs to another
 * contact. Then only a part is written, and what is stored must be read again.
 */
extern bool contact_store(const Contact *stored, const Contact *wanted, bool always_touch);

/* Deletes the one-row group or the whole list of a contact. */
extern void contact_store_delete_group(const pg_uuid_t *email_id, ContactGroup group);

#endif
