/*
 * contact/direct.h: finds and reads contacts below the executor.
 *
 * Both functions return false, and read nothing, when a table does not pass the gate
 * (base/gate.h); the caller must then use SQL.
 */
#ifndef CTMS_CONTACT_DIRECT_H
#define CTMS_CONTACT_DIRECT_H

#include "postgres.h"

#include "extension/contact/contact.h"

#include "utils/snapshot.h"

/* A row of `group`: its fields in the order of contact_groups, then the two timestamps. */
typedef void (*ContactRowReader)(Contact *contact, ContactGroup group, const Datum *values,
                                 const bool *nulls);

/*
 * Passes every row of the contacts, in the groups up to `last`, to `read`. The Datums live in the
 * current memory context.
 */
extern bool contact_direct_read(Contact **contacts, int count, ContactGroup last, Snapshot snapshot,
                                ContactRowReader read);

typedef struct ContactsFound {
    Contact *contacts; /* allocated; only email_id and row_at are set; in no order */
    uint64 count;
    uint64 capacity;
} ContactsFound;

/* Finds the contacts that have an id. `value` is a uuid for ID_EMAIL_ID, otherwise a text. */
extern bool contact_direct_find(ContactId id, Datum value, Snapshot snapshot, ContactsFound *found);

/* "row_at" as in Contact: the row in emails, or null. */
extern void contact_found_add(ContactsFound *found, const pg_uuid_t *email_id, ItemPointer row_at);

#endif
