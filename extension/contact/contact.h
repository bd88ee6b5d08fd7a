/*
 * contact/contact.h: a contact in memory, and how the table of groups and fields
 * (contact/fields.h) looks to those who follow it.
 *
 * Datums of a record point into the current memory context or into SPI's; nobody frees
 * them one by one. Text-like fields (text, choice, URL, UUID) are text Datums, dates
 * DateADT, objects jsonb.
 */
#ifndef CTMS_CONTACT_H
#define CTMS_CONTACT_H

#include "postgres.h"

#include "extension/contact/fields.h"

#include "datatype/timestamp.h"
#include "utils/uuid.h"

/* body_value.c says of each what a body may give for it. */
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
    const char *description;    /* for readers of the API's description */
    const char *const *choices; /* FIELD_CHOICE: the allowed texts, NULL at the end */
    const char *default_text;   /* text-like kinds; NULL: null */
    ContactFieldKind kind;
    int min_chars; /* FIELD_TEXT, FIELD_URL */
    int max_chars; /* 0: no limit of its own */
    bool is_nullable;
    bool is_required; /* in POST and PUT; in items of lists always */
    bool default_boolean;
} ContactField;

/* What a body may give in place of a group. */
typedef struct ContactStandIn {
    const char *word; /* NULL: none */
    bool allows_null;
} ContactStandIn;

typedef struct ContactGroupSpec {
    const char *name;        /* key in bodies and answers */
    const char *description; /* of its object, or of an item of its list */
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

/* How many groups there are of rows, of rows and lists, and in bodies. */
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
/* "email_id" of the group "email" in bodies: no field of its record. */
extern const ContactField contact_email_id;

static inline bool
contact_group_is_list(ContactGroup group)
{
    return contact_groups[group].max_items > 0;
}

/* In POST and PUT, or with `is_change` in PATCH. */
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
    int field; /* of the group, a text; CONTACT_NO_FIELD for the UUID email_id */
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
    bool exists;    /* there is such a row */
    uint32 given;   /* bit per field that a body names */
    int body_index; /* place in the body's list, -1 when it is not from a body */
    TimestampTz create_timestamp;
    TimestampTz update_timestamp;
} ContactRecord;

/* A list of one contact, sorted by name (bytewise) but while being read. */
typedef struct ContactList {
    ContactRecord *items;
    int count;
    int capacity;
} ContactList;

typedef struct Contact {
    pg_uuid_t email_id;
    ItemPointerData row_at; /* where its row in emails was seen; invalid when nobody has looked */
    ContactRecord rows[CONTACT_ROW_GROUPS];
    ContactList lists[CONTACT_STORED_GROUPS]; /* those of rows are unused */
} Contact;

/* ---- contact/record.c: records without any input or output ---- */

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
/* A new last item that the caller fills; the pointer holds until the next one. */
extern ContactRecord *contact_list_extend(ContactList *list);
/* The same, at its defaults. */
extern ContactRecord *contact_list_append(ContactList *list, ContactGroup group);
/* The copy shares the Datums. */
extern void contact_list_copy(ContactList *to, const ContactList *from);
/* By name, bytewise; items without one last, equal names in the order of the body. */
extern void contact_list_sort(ContactList *list);
/* In a sorted list; NULL when there is none. */
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
