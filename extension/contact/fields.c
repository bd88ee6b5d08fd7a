/*
 * contact/fields.c: the table of groups and fields, and what can be said of records
 * without reading or writing anything: defaults, comparison, lists by name.
 */
#include "extension/base/compat.h"

#include "extension/contact/contact.h"

#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/jsonb.h"

static const char *const email_formats[] = {"H", "T", "N", "", NULL};
static const char *const newsletter_formats[] = {"H", "T", NULL};

#define TEXT(field_name, limit)                                                                    \
    {                                                                                              \
        .name = (field_name), .kind = FIELD_TEXT, .max_chars = (limit), .is_nullable = true        \
    }
#define FLAG(field_name, default_value)                                                            \
    {                                                                                              \
        .name = (field_name), .kind = FIELD_BOOLEAN, .default_boolean = (default_value)            \
    }
#define NAME(field_name)                                                                           \
    {                                                                                              \
        .name = (field_name), .kind = FIELD_TEXT, .min_chars = 1, .max_chars = 255,                \
        .is_required = true                                                                        \
    }
#define URL_SOURCE                                                                                 \
    {                                                                                              \
        .name = "source", .kind = FIELD_URL, .min_chars = 1, .max_chars = 65536,                   \
        .is_nullable = true                                                                        \
    }

static const ContactField email_fields[] = {
    NAME("primary_email"),
    {.name = "basket_token", .kind = FIELD_UUID, .is_nullable = true},
    FLAG("double_opt_in", false),
    TEXT("sfdc_id", 255),
    TEXT("first_name", 255),
    TEXT("last_name", 255),
    TEXT("mailing_country", 255),
    {.name = "email_format",
     .kind = FIELD_CHOICE,
     .choices = email_formats,
     .choices_message = "'H', 'T', 'N', ''",
     .default_text = "H"},
    {.name = "email_lang",
     .kind = FIELD_TEXT,
     .max_chars = 5,
     .is_nullable = true,
     .default_text = "en"},
    FLAG("has_opted_out_of_email", false),
    TEXT("unsubscribe_reason", 0),
};

static const ContactField amo_fields[] = {
    TEXT("add_on_ids", 500),
    TEXT("display_name", 255),
    FLAG("email_opt_in", false),
    TEXT("language", 5),
    {.name = "last_login", .kind = FIELD_DATE, .is_nullable = true},
    TEXT("location", 255),
    TEXT("profile_url", 40),
    FLAG("user", false),
    TEXT("user_id", 40),
    TEXT("username", 100),
};

static const ContactField fxa_fields[] = {
    TEXT("fxa_id", 50), TEXT("primary_email", 255), TEXT("created_date", 50),
    TEXT("lang", 255),  TEXT("first_service", 50),  FLAG("account_deleted", false),
};

static const ContactField mofo_fields[] = {
    TEXT("mofo_email_id", 255),
    TEXT("mofo_contact_id", 255),
    FLAG("mofo_relevant", false),
};

static const ContactField newsletter_fields[] = {
    NAME("name"),
    FLAG("subscribed", true),
    {.name = "format",
     .kind = FIELD_CHOICE,
     .choices = newsletter_formats,
     .choices_message = "'H', 'T'",
     .default_text = "H"},
    {.name = "lang",
     .kind = FIELD_TEXT,
     .min_chars = 2,
     .max_chars = 5,
     .is_nullable = true,
     .default_text = "en"},
    URL_SOURCE,
    TEXT("unsub_reason", 0),
};

static const ContactField waitlist_fields[] = {
    NAME("name"),
    URL_SOURCE,
    {.name = "fields", .kind = FIELD_OBJECT},
    FLAG("subscribed", true),
    TEXT("unsub_reason", 0),
};

/* The waitlists' schemas limit what is in these. */
static const ContactField vpn_waitlist_fields[] = {TEXT("geo", 0), TEXT("platform", 0)};
static const ContactField relay_waitlist_fields[] = {TEXT("geo", 0)};

#define GROUP(key, table_name, field_table, timestamps)                                            \
    {                                                                                              \
        .name = (key), .table = (table_name), .fields = (field_table),                             \
        .field_count = lengthof(field_table), .shows_timestamps = (timestamps)                     \
    }

const ContactGroupSpec contact_groups[CONTACT_BODY_GROUPS] = {
    [GROUP_EMAIL] = GROUP("email", "emails", email_fields, true),
    [GROUP_AMO] = GROUP("amo", "amo", amo_fields, true),
    [GROUP_FXA] = GROUP("fxa", "fxa", fxa_fields, false),
    [GROUP_MOFO] = GROUP("mofo", "mofo", mofo_fields, false),
    [GROUP_NEWSLETTERS] = GROUP("newsletters", "newsletters", newsletter_fields, true),
    [GROUP_WAITLISTS] = GROUP("waitlists", "waitlists", waitlist_fields, true),
    [GROUP_VPN_WAITLIST] = GROUP("vpn_waitlist", NULL, vpn_waitlist_fields, false),
    [GROUP_RELAY_WAITLIST] = GROUP("relay_waitlist", NULL, relay_waitlist_fields, false),
};

StaticAssertDecl(lengthof(email_fields) <= CONTACT_MAX_FIELDS, "CONTACT_MAX_FIELDS is too small");
StaticAssertDecl(lengthof(amo_fields) <= CONTACT_MAX_FIELDS, "CONTACT_MAX_FIELDS is too small");

static Datum
empty_object(void)
{
    JsonbParseState *state = NULL;

    pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
    return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

Datum
contact_field_default(const ContactField *field, bool *is_null)
{
    *is_null = false;
    if (field->kind == FIELD_BOOLEAN)
        return BoolGetDatum(field->default_boolean);
    if (field->kind == FIELD_OBJECT)
        return empty_object();
    if (field->default_text != NULL)
        return CStringGetTextDatum(field->default_text);
    *is_null = true;
    return (Datum)0;
}

void
contact_record_init(ContactRecord *record, ContactGroup group)
{
    const ContactGroupSpec *spec = &contact_groups[group];

    memset(record, 0, sizeof(*record));
    record->body_index = -1;
    for (int i = 0; i < spec->field_count; i++)
        record->values[i] = contact_field_default(&spec->fields[i], &record->nulls[i]);
}

/* ---- comparison ------------------------------------------------------------- */

static bool
is_text_equal(Datum a, Datum b)
{
    text *left = DatumGetTextPP(a);
    text *right = DatumGetTextPP(b);
    Size length = VARSIZE_ANY_EXHDR(left);

    return length == VARSIZE_ANY_EXHDR(right) &&
           memcmp(VARDATA_ANY(left), VARDATA_ANY(right), length) == 0;
}

static bool
is_value_equal(const ContactField *field, Datum a, Datum b)
{
    switch (field->kind) {
    case FIELD_BOOLEAN: return DatumGetBool(a) == DatumGetBool(b);
    case FIELD_DATE: return DatumGetDateADT(a) == DatumGetDateADT(b);
    case FIELD_OBJECT:
        return compareJsonbContainers(&DatumGetJsonbP(a)->root, &DatumGetJsonbP(b)->root) == 0;
    default: return is_text_equal(a, b);
    }
}

uint32
contact_record_difference(const ContactRecord *a, const ContactRecord *b, ContactGroup group)
{
    const ContactGroupSpec *spec = &contact_groups[group];
    uint32 difference = 0;

    for (int i = 0; i < spec->field_count; i++)
        if (a->nulls[i] != b->nulls[i] ||
            (!a->nulls[i] && !is_value_equal(&spec->fields[i], a->values[i], b->values[i])))
            difference |= (uint32)1 << i;
    return difference;
}

bool
contact_record_is_default(const ContactRecord *record, ContactGroup group)
{
    ContactRecord defaults;

    contact_record_init(&defaults, group);
    return contact_record_difference(record, &defaults, group) == 0;
}

static bool
is_list_equal(const ContactList *a, const ContactList *b, ContactGroup group)
{
    if (a->count != b->count)
        return false;
    for (int i = 0; i < a->count; i++)
        if (contact_record_difference(&a->items[i], &b->items[i], group) != 0)
            return false;
    return true;
}

bool
contact_is_equal(const Contact *a, const Contact *b)
{
    for (int group = 0; group < CONTACT_ROW_GROUPS; group++)
        if (contact_record_difference(&a->rows[group], &b->rows[group], group) != 0)
            return false;
    return is_list_equal(&a->newsletters, &b->newsletters, GROUP_NEWSLETTERS) &&
           is_list_equal(&a->waitlists, &b->waitlists, GROUP_WAITLISTS);
}

/* ---- contacts and lists ------------------------------------------------------ */

void
contact_init(Contact *contact)
{
    memset(contact, 0, sizeof(*contact));
    for (int group = 0; group < CONTACT_ROW_GROUPS; group++)
        contact_record_init(&contact->rows[group], group);
}

ContactList *
contact_list(Contact *contact, ContactGroup group)
{
    return group == GROUP_NEWSLETTERS ? &contact->newsletters : &contact->waitlists;
}

ContactRecord *
contact_list_append(ContactList *list, ContactGroup group)
{
    ContactRecord *item;

    if (list->items == NULL) {
        list->capacity = 8;
        list->items = palloc(list->capacity * sizeof(ContactRecord));
    } else if (list->count == list->capacity) {
        list->capacity *= 2;
        list->items = repalloc(list->items, list->capacity * sizeof(ContactRecord));
    }
    item = &list->items[list->count++];
    contact_record_init(item, group);
    return item;
}

static int
compare_bytes(const char *a, int a_len, const char *b, int b_len)
{
    int order = memcmp(a, b, Min(a_len, b_len));

    return order != 0 ? order : a_len - b_len;
}

void
contact_list_copy(ContactList *to, const ContactList *from)
{
    *to = *from;
    if (from->items == NULL)
        return;
    to->items = palloc(from->capacity * sizeof(ContactRecord));
    memcpy(to->items, from->items, from->count * sizeof(ContactRecord));
}

int
contact_name_compare(const ContactRecord *a, const ContactRecord *b)
{
    text *left;
    text *right;

    if (a->nulls[LIST_NAME] || b->nulls[LIST_NAME])
        return (int)a->nulls[LIST_NAME] - (int)b->nulls[LIST_NAME];
    left = DatumGetTextPP(a->values[LIST_NAME]);
    right = DatumGetTextPP(b->values[LIST_NAME]);
    return compare_bytes(VARDATA_ANY(left), VARSIZE_ANY_EXHDR(left), VARDATA_ANY(right),
                         VARSIZE_ANY_EXHDR(right));
}

static int
compare_items(const void *a, const void *b)
{
    const ContactRecord *left = a;
    const ContactRecord *right = b;
    int order = contact_name_compare(left, right);

    return order != 0 ? order : left->body_index - right->body_index;
}

void
contact_list_sort(ContactList *list)
{
    if (list->count > 1)
        qsort(list->items, list->count, sizeof(ContactRecord), compare_items);
}

/* An item without a name comes after all others. */
static int
compare_name(const ContactRecord *item, const char *name, int name_len)
{
    text *candidate;

    if (item->nulls[LIST_NAME])
        return 1;
    candidate = DatumGetTextPP(item->values[LIST_NAME]);
    return compare_bytes(VARDATA_ANY(candidate), VARSIZE_ANY_EXHDR(candidate), name, name_len);
}

ContactRecord *
contact_list_find(const ContactList *list, const char *name, int name_len)
{
    int low = 0;
    int high = list->count;

    while (low < high) {
        int middle = low + (high - low) / 2;
        int order = compare_name(&list->items[middle], name, name_len);

        if (order == 0)
            return &list->items[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

bool
contact_name_starts_with(const ContactRecord *item, const char *prefix)
{
    text *name;
    Size length = strlen(prefix);

    if (item->nulls[LIST_NAME])
        return false;
    name = DatumGetTextPP(item->values[LIST_NAME]);
    return VARSIZE_ANY_EXHDR(name) >= length && memcmp(VARDATA_ANY(name), prefix, length) == 0;
}
