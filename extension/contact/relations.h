/*
 * contact/relations.h: which tables and indexes hold contacts; for contact/direct.c, which reads
 * them below the executor.
 */
#ifndef CTMS_CONTACT_RELATIONS_H
#define CTMS_CONTACT_RELATIONS_H

#include "postgres.h"

#include "extension/contact/contact.h"

/* The columns that a reader wants: the fields of a group in their order, then both timestamps. */
#define CONTACT_MAX_WANTED (CONTACT_MAX_FIELDS + 2)
#define CONTACT_MAX_COLUMNS 64 /* of a table */

typedef struct ContactRelation {
    Oid table;
    Oid index; /* its first column is email_id */
    AttrNumber email_id;
    AttrNumber wanted[CONTACT_MAX_WANTED];
    int wanted_count;
} ContactRelation;

typedef struct ContactRelations {
    ContactRelation groups[CONTACT_STORED_GROUPS];
    /* The index that finds rows by the id (for an address, by lower()); InvalidOid when there is
     * none. */
    Oid by_id[CONTACT_ID_COUNT];
} ContactRelations;

/*
 * NULL when a table is not the plain local table that this code knows. Ask again each time. While
 * the tables are opened, changes may become known: check contact_relations_are_current()
 * afterwards, and start again if it is false.
 */
extern const ContactRelations *contact_relations(void);
extern bool contact_relations_are_current(void);

#endif
