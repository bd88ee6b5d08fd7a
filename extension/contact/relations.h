/*
 * contact/relations.h: which tables and indexes hold contacts, for those that read them below
 * the executor.
 */
#ifndef CTMS_CONTACT_RELATIONS_H
#define CTMS_CONTACT_RELATIONS_H

#include "postgres.h"

#include "extension/contact/contact.h"

/* Columns that a reader wants: a group's fields in their order, then the two timestamps. */
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
    /* Finds the rows that have the id, an address by lower(); InvalidOid when there is none. */
    Oid by_id[CONTACT_ID_COUNT];
} ContactRelations;

/*
 * NULL when a table is not the plain local table that this code knows. To be asked for each
 * time. Opening what it names may bring news: look at contact_relations_are_current()
 * afterwards, and begin anew when they are not.
 */
extern const ContactRelations *contact_relations(void);
extern bool contact_relations_are_current(void);

#endif
