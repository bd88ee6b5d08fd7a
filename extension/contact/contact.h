/*
 * contact/contact.h: a contact in memory, and the table of groups and fields (contact/fields.h)
 * as types and constants.
 *
 * The Datums of a record point into the current memory context or into that of SPI. Nobody frees
 * them one by one. Text-like fields (text, choice, URL, UUID) are text Datums, dates are DateADT,
 * objects are jsonb.
 */
#ifndef CTMS_CONTACT_H
#define CTMS_CONTACT_H

#include "postgres.h"

#include "extension/contact/fields.h"

#include "datatype/timestamp.h"
#include "utils/uuid.h"

/* contact/body_value.c says what a body may give for each kind. */
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
    const char *name;           /* JSON key, and column of the group's table */
    const char *description;    /* NULL: the comment on the column is */
    const char *example;        /* a text, or JSON where the kind is no text */
    const char *const *choices; /* FIELD_CHOICE: the allowed texts, NULL at the end */
    const char *default_text;   /* text-like kinds; NULL: null */
    ContactFieldKind kind;
    int min_chars; /* FIELD_TEXT, FIELD_URL */
    int max_chars; /* 0: no limit of its own */
    bool is_nullable;
    bool is_required; /* in POST and PUT; in items of lists always */
    bool default_boolean;
    bool is_of_leaving; /* no part of the example of a group */
} ContactField;

/* What a body may have in place of the object or list of a group. */
typedef struct ContactStandIn {
    const char *word; /* NULL: none */
    bool allows_null;
} ContactStandIn;

typedef struct ContactGroupSpec {
    const char *name;        /* key in bodies and answers */
    const char *description; /* of its object, or of an item of its list */
    const char *item_name;   /* what an item of its list is called; NULL: no list */
    const char *table;       /* in schema ctms; NULL: not stored under this name */
    const ContactField *fields;
    int field_count;
    int max_items;            /* of the list in one body; 0: no list */
    ContactStandIn in_whole;  /* POST and PUT */
    ContactStandIn in_change; /* PATCH */
    bool is_required;         /* in POST and PUT */
    bool is_deprecated;
    bool shows_timestamps; /* in answers */
} ContactGroupSpec;

#define CONTACT_PLACE(place, ...) place,

typedef enum ContactGroup { CONTACT_GROUPS(CONTACT_PLACE) } ContactGroup;

/*
 * How many groups have one row; how many are stored (rows and lists); how many there are in
 * bodies.
 */
#define CONTACT_ROW_GROUPS ((int)GROUP_NEWSLETTERS)
#define CONTACT_STORED_GROUPS ((int)GROUP_VPN_WAITLIST)
#define CONTACT_BODY_GROUPS (0 CONTACT_GROUPS(CONTACT_ONE))
#define CONTACT_ONE(...) +1

/* Places of fields in their groups. */
enum { CONTACT_EMAIL_FIELDS(CONTACT_PLACE) EMAIL_FIELD_COUNT };
enum { CONTACT_AMO_FIELDS(CONTACT_PLACE) };
enum { CONTACT_FXA_FIELDS(CONTACT_PLACE) };
enum { CONTACT_MOFO_FIELDS(CONTACT_PLACE) };
enum { CONTACT_NEWSLETTER_FIELDS(CONTACT_PLACE) };
enum { CONTACT_WAITLIST_FIELDS(CONTACT_PLACE) };
enum { CONTACT_VPN_WAITLIST_FIELDS(CONTACT_PLACE) };
enum { CONTACT_RELAY_WAITLIST_FIELDS(CONTACT_PLACE) };
#define LIST_NAME ((int)NEWSLETTER_NAME) /* of both lists */

/* The group with the most fields. */
#define CONTACT_MAX_FIELDS EMAIL_FIELD_COUNT

extern const ContactGroupSpec contact_groups[CONTACT_BODY_GROUPS];
/* "email_id" of the group "email" in bodies. It is not a field of the record. */
extern const ContactField contact_email_id;

static inline bool
contact_group_is_list(ContactGroup group)
{
    return contact_groups[group].max_items > 0;
}

/* What may stand for the group in POST and PUT, or in PATCH with `is_change`. */
static inline const ContactStandIn *
contact_group_stand_in(ContactGroup group, bool is_change)
{
    return is_change ? &contact_groups[group].in_change : &contact_groups[group].in_whole;
}

/* Whether an object of the group must have the field. */
static inline bool
contact_field_is_required(ContactGroup group, const ContactField *field, bool is_change)
{
    return field->is_required && (!is_change || contact_group_is_list(group));
}

typedef enum ContactId { CONTACT_IDS(CONTACT_PLACE) } ContactId;
#define CONTACT_ID_COUNT (0 CONTACT_IDS(CONTACT_ONE))
#define CONTACT_NO_FIELD -1

typedef struct ContactIdSpec {
    const char *name;
    ContactGroup group;
    int field; /* a text field of the group; CONTACT_NO_FIELD for the UUID email_id */
    bool is_address;
} ContactIdSpec;

extern const ContactIdSpec contact_ids[CONTACT_ID_COUNT];

/* Column of the id in the table of its group. */
static inline const char *
contact_id_column(ContactId id)
{
    const ContactIdSpec *spec = &contact_ids[id];

    return spec->field == CONTACT_NO_FIELD ? contact_email_id.name
                                           : contact_groups[spec->group].fields[spec->field].name;
}

/* One row of a group, stored or given in a body. */
typedef struct ContactRecord {
    Datum values[CONTACT_MAX_FIELDS];
    bool nulls[CONTACT_MAX_FIELDS];
    bool exists;    /* the row is stored */
    uint32 given;   /* bit per field that a body names */
    int body_index; /* place in the body's list, -1 when it is not from a body */
    TimestampTz create_timestamp;
    TimestampTz update_timestamp;
} ContactRecord;

/* A list of one contact. It is sorted by name (bytewise), except while it is being read. */
typedef struct ContactList {
    ContactRecord *items;
    int count;
    int capacity;
} ContactList;

typedef struct Contact {
    pg_uuid_t email_id;
    ContactRecord rows[CONTACT_ROW_GROUPS];
    ContactList lists[CONTACT_STORED_GROUPS]; /* unused for groups of one row */
} Contact;

/* ---- contact/record.c: records without any input or output ---- */

/* The value of a field when nothing gives one. Allocates it for texts and objects. */
extern Datum contact_field_default(const ContactField *field, bool *is_null);
/* All fields at their defaults, nothing given, no row. */
extern void contact_record_init(ContactRecord *record, ContactGroup group);
extern bool contact_record_is_default(const ContactRecord *record, ContactGroup group);
/* A bit for each field whose values differ; nulls are equal. */
extern uint32
contact_record_difference(const ContactRecord *a, const ContactRecord *b, ContactGroup group);
/* Whether the content is equal. A row at its defaults counts as no row; timestamps do not count. */
extern bool contact_is_equal(const Contact *a, const Contact *b);

extern void contact_init(Contact *contact);
/* Adds an item at the end, which the caller must fill. The pointer is valid until the next call. */
extern ContactRecord *contact_list_extend(ContactList *list);
/* The same, with the item at its defaults. */
extern ContactRecord *contact_list_append(ContactList *list, ContactGroup group);
/* The copy shares the Datums. */
extern void contact_list_copy(ContactList *to, const ContactList *from);
/* By name, bytewise. Items without a name come last; equal names stay in the order of the body. */
extern void contact_list_sort(ContactList *list);
/* Searches a sorted list; NULL when there is no such item. */
extern ContactRecord *contact_list_find(const ContactList *list, const char *name, int name_len);
/* A value of a record as a C string; NULL when it is null. */
extern char *contact_text(const ContactRecord *record, int field);
extern int contact_name_compare(const ContactRecord *a, const ContactRecord *b);
extern bool contact_name_starts_with(const ContactRecord *item, const char *prefix);

static inline bool
contact_flag(const ContactRecord *record, int field)
{
    return !record->nulls[field] && DatumGetBool(record->values[field]);
}

#endif
