/*
 * contact/contact.h: a contact in memory, and the table of groups and fields that everything
 * about contacts is driven by: reading bodies, comparing, SQL text, answers.
 *
 * Datums of a record point into the current memory context or into SPI's; nobody frees
 * them one by one. Text-like fields (text, choice, URL, UUID) are text Datums, dates
 * DateADT, objects jsonb.
 */
#ifndef CTMS_CONTACT_H
#define CTMS_CONTACT_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "utils/uuid.h"

typedef enum ContactFieldKind {
    FIELD_TEXT,
    FIELD_BOOLEAN,
    FIELD_DATE,
    FIELD_UUID, /* stored as text, in its canonical form */
    FIELD_CHOICE,
    FIELD_URL,
    FIELD_OBJECT
} ContactFieldKind;

typedef struct ContactField {
    const char *name;            /* JSON key, and column of the group's table */
    const char *const *choices;  /* FIELD_CHOICE: the allowed texts, NULL at the end */
    const char *choices_message; /* FIELD_CHOICE: how an error lists them */
    const char *default_text;    /* text-like kinds; NULL: null */
    ContactFieldKind kind;
    int min_chars;
    int max_chars; /* 0: no limit of its own */
    bool is_nullable;
    bool is_required; /* in POST and PUT; the name of a list item always */
    bool default_boolean;
} ContactField;

typedef enum ContactGroup {
    /* one row for each contact */
    GROUP_EMAIL,
    GROUP_AMO,
    GROUP_FXA,
    GROUP_MOFO,
    /* lists, by name */
    GROUP_NEWSLETTERS,
    GROUP_WAITLISTS,
    /* only in bodies of older clients */
    GROUP_VPN_WAITLIST,
    GROUP_RELAY_WAITLIST
} ContactGroup;

#define CONTACT_ROW_GROUPS 4
#define CONTACT_STORED_GROUPS 6
#define CONTACT_BODY_GROUPS 8
#define CONTACT_MAX_FIELDS 11

typedef struct ContactGroupSpec {
    const char *name;  /* key in bodies and answers */
    const char *table; /* in schema ctms; NULL: not stored under this name */
    const ContactField *fields;
    int field_count;
    bool shows_timestamps; /* in answers */
} ContactGroupSpec;

extern const ContactGroupSpec contact_groups[CONTACT_BODY_GROUPS];

/* Places of fields that rules are about. */
#define EMAIL_PRIMARY_EMAIL 0
#define EMAIL_BASKET_TOKEN 1
#define EMAIL_SFDC_ID 3
#define AMO_USER_ID 8
#define FXA_FXA_ID 0
#define FXA_PRIMARY_EMAIL 1
#define MOFO_EMAIL_ID 0
#define MOFO_CONTACT_ID 1
#define LIST_NAME 0 /* newsletters and waitlists */
#define NEWSLETTER_SUBSCRIBED 1
#define WAITLIST_SOURCE 1
#define WAITLIST_FIELDS 2
#define WAITLIST_SUBSCRIBED 3
#define WAITLIST_UNSUB_REASON 4
#define LEGACY_GEO 0
#define LEGACY_PLATFORM 1 /* vpn_waitlist */

/* One row of a group, stored or given in a body. */
typedef struct ContactRecord {
    Datum values[CONTACT_MAX_FIELDS];
    bool nulls[CONTACT_MAX_FIELDS];
    bool exists;    /* there is such a row */
    uint32 given;   /* bit per field that a body names */
    int body_index; /* place in the body's list, -1 when it is not from a body */
    TimestampTz create_timestamp;
    TimestampTz update_timestamp;
} ContactRecord;

/* Newsletters or waitlists of one contact, sorted by name (bytewise) but while being read. */
typedef struct ContactList {
    ContactRecord *items;
    int count;
    int capacity;
} ContactList;

typedef struct Contact {
    pg_uuid_t email_id;
    ItemPointerData row_at; /* where its row in emails was seen; invalid when nobody has looked */
    ContactRecord rows[CONTACT_ROW_GROUPS];
    ContactList newsletters;
    ContactList waitlists;
} Contact;

/* ---- contact/fields.c: records without any input or output ---- */

/* The value that a field has where nothing gives one; allocates for text and objects. */
extern Datum contact_field_default(const ContactField *field, bool *is_null);
/* All fields at their defaults, nothing given, no row. */
extern void contact_record_init(ContactRecord *record, ContactGroup group);
extern bool contact_record_is_default(const ContactRecord *record, ContactGroup group);
/* Bit per field whose values differ; nulls are equal. */
extern uint32
contact_record_difference(const ContactRecord *a, const ContactRecord *b, ContactGroup group);
/* Equal content: a row at its defaults is as good as none, timestamps do not count. */
extern bool contact_is_equal(const Contact *a, const Contact *b);

extern void contact_init(Contact *contact);
extern ContactList *contact_list(Contact *contact, ContactGroup group);
/* A new last item at its defaults; the pointer holds until the next append. */
extern ContactRecord *contact_list_append(ContactList *list, ContactGroup group);
/* The copy shares the Datums. */
extern void contact_list_copy(ContactList *to, const ContactList *from);
/* By name, bytewise; items without one last, equal names in the order of the body. */
extern void contact_list_sort(ContactList *list);
/* In a sorted list; NULL when there is none. */
extern ContactRecord *contact_list_find(const ContactList *list, const char *name, int name_len);
extern int contact_name_compare(const ContactRecord *a, const ContactRecord *b);
extern bool contact_name_starts_with(const ContactRecord *item, const char *prefix);

static inline bool
contact_flag(const ContactRecord *record, int field)
{
    return !record->nulls[field] && DatumGetBool(record->values[field]);
}

#endif
