/*
 * contact_direct.h: reads the rows of contacts below the executor.
 */
#ifndef CTMS_CONTACT_DIRECT_H
#define CTMS_CONTACT_DIRECT_H

#include "postgres.h"

#include "contact.h"

#include "utils/snapshot.h"

/* A row of `group`: its fields in the order of contact_groups, then the two timestamps. */
typedef void (*ContactRowReader)(Contact *contact, ContactGroup group, const Datum *values,
                                 const bool *nulls);

/*
 * Hands every row of the contacts in the groups up to `last` to `read`. The Datums live in
 * the current memory context. False, with nothing read, when a table is not the plain local
 * table that this code knows: then go by SQL. Rights are not checked.
 */
extern bool contact_direct_read(Contact **contacts, int count, ContactGroup last, Snapshot snapshot,
                                ContactRowReader read);

#endif
