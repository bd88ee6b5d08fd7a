/*
 * contact/direct.h: reads one contact below the executor.
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
 * Passes every row of the contact, in the groups up to `last`, to `read`. The Datums live in the
 * current memory context. False, and nothing is read, when a table does not pass the gate
 * (base/gate.h); the caller must then use SQL.
 */
extern bool
contact_direct_read(Contact *contact, ContactGroup last, Snapshot snapshot, ContactRowReader read);

#endif
