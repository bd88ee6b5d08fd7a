/*
 * contact/fields.c: defines the forms that contact/fields.h uses (TEXT, FLAG, …), and builds the
 * table with them.
 */
#include "extension/base/compat.h"

#include "extension/contact/contact.h"

static const char *const email_formats[] = {"H", "T", "N", "", NULL};
static const char *const newsletter_formats[] = {"H", "T", NULL};

/* ---- forms of fields ------------------------------------------------------------ */

#define REQUIRED(limit)                                                                            \
    .kind = FIELD_TEXT, .min_chars = 1, .max_chars = (limit), .is_required = true
#define TEXT(limit) .kind = FIELD_TEXT, .max_chars = (limit), .is_nullable = true
/* Why somebody left: nothing that goes with an example of somebody who is there. */
#define REASON TEXT(0), .is_of_leaving = true
#define LANGUAGE(least)                                                                            \
    .kind = FIELD_TEXT, .min_chars = (least), .max_chars = 5, .is_nullable = true,                 \
    .default_text = "en"
#define CHOICE(texts, first) .kind = FIELD_CHOICE, .choices = (texts), .default_text = (first)
#define FLAG(default_value) .kind = FIELD_BOOLEAN, .default_boolean = (default_value)
#define TOKEN .kind = FIELD_UUID, .is_nullable = true
#define DATE .kind = FIELD_DATE, .is_nullable = true
#define URL .kind = FIELD_URL, .min_chars = 1, .max_chars = 65536, .is_nullable = true
#define OBJECT .kind = FIELD_OBJECT
/* Fields of the older members are no columns, so nothing else describes them. */
#define COUNTRY                                                                                    \
    TEXT(0), .description = "Country in which the contact waits: by custom a code of ISO 3166-1 "  \
                            "alpha-2, such as fr; null if none was given"
#define PLATFORMS                                                                                  \
    TEXT(0), .description = "Platforms that the contact waits for, such as ios, android or "       \
                            "windows, between commas; null if none was given"

#define AS_FIELD(place, key, form, value) {.name = (key), .example = (value), form},

static const ContactField email_fields[] = {CONTACT_EMAIL_FIELDS(AS_FIELD)};
static const ContactField amo_fields[] = {CONTACT_AMO_FIELDS(AS_FIELD)};
static const ContactField fxa_fields[] = {CONTACT_FXA_FIELDS(AS_FIELD)};
static const ContactField mofo_fields[] = {CONTACT_MOFO_FIELDS(AS_FIELD)};
static const ContactField newsletter_fields[] = {CONTACT_NEWSLETTER_FIELDS(AS_FIELD)};
static const ContactField waitlist_fields[] = {CONTACT_WAITLIST_FIELDS(AS_FIELD)};
static const ContactField vpn_waitlist_fields[] = {CONTACT_VPN_WAITLIST_FIELDS(AS_FIELD)};
static const ContactField relay_waitlist_fields[] = {CONTACT_RELAY_WAITLIST_FIELDS(AS_FIELD)};

const ContactField contact_email_id = {
    .name = "email_id", .example = "8a6bbc87-2a5f-4d0e-9d8e-6c6b8f1f1a3e", TOKEN};

/* ---- forms of groups -------------------------------------------------------------- */

#define STORED(table_name, has_timestamps)                                                         \
    .table = (table_name), .shows_timestamps = (has_timestamps)
#define NEEDED .is_required = true
#define DELETABLE .in_whole = {.allows_null = true}, .in_change = {.word = "DELETE"}
/* More than anyone subscribes to. This limits the cost of one body. */
#define LIST(item) .item_name = (item), .max_items = 1000, .in_change = {.word = "UNSUBSCRIBE"}
#define OLDER                                                                                      \
    .is_deprecated = true, .in_whole = {.word = "DELETE", .allows_null = true},                    \
    .in_change = {.word = "DELETE", .allows_null = true}

#define AS_GROUP(place, key, group_fields, about, ...)                                             \
    {.name = (key),                                                                                \
     .description = (about),                                                                       \
     .fields = (group_fields),                                                                     \
     .field_count = lengthof(group_fields),                                                        \
     __VA_ARGS__},

const ContactGroupSpec contact_groups[CONTACT_BODY_GROUPS] = {CONTACT_GROUPS(AS_GROUP)};

#define AS_ID(place, ...) {__VA_ARGS__},

const ContactIdSpec contact_ids[CONTACT_ID_COUNT] = {CONTACT_IDS(AS_ID)};

/* ---- what others rely on ------------------------------------------------------------ */

#define CHECK_COUNT(place, key, group_fields, ...)                                                 \
    StaticAssertDecl(lengthof(group_fields) <= CONTACT_MAX_FIELDS, "CONTACT_MAX_FIELDS: " key);
CONTACT_GROUPS(CHECK_COUNT)
StaticAssertDecl(CONTACT_MAX_FIELDS < 32, "masks of fields are integers of SQL");
StaticAssertDecl(NEWSLETTER_NAME == 0 && WAITLIST_NAME == 0, "the name of an item comes first");
