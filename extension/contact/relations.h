/*
 * contact/relations.h: which tables and indexes hold contacts, for those that read them below
 * the executor; and the ids that a contact can be found by.
 */
#ifndef CTMS_CONTACT_RELATIONS_H
#define CTMS_CONTACT_RELATIONS_H

#include "postgres.h"

#include "extension/contact/contact.h"

/* In the order of the parameters of ctms.find_contacts(). */
typedef enum ContactId {
    ID_EMAIL_ID,
    ID_PRIMARY_EMAIL,
    ID_BASKET_TOKEN,
    ID_SFDC_ID,
    ID_MOFO_CONTACT_ID,
    ID_MOFO_EMAIL_ID,
    ID_AMO_USER_ID,
    ID_FXA_ID,
    ID_FXA_PRIMARY_EMAIL
} ContactId;

#define CONTACT_ID_COUNT (ID_FXA_PRIMARY_EMAIL + 1)

typedef struct ContactIdSpec {
    const char *name; /* of the parameter */
    ContactGroup group;
    const char *column; /* of the group's table; text but for email_id */
    bool is_address;    /* compared without regard to case */
} ContactIdSpec;

extern const ContactIdSpec contact_ids[CONTACT_ID_COUNT];

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
