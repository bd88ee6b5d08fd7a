/*
 * contact/record.c: operations on records that read and write no table: defaults, comparison,
 * lists by name.
 */
#include "extension/base/compat.h"

#include "extension/contact/contact.h"

#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/jsonb.h"

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
    switch (field->kind) {
    case FIELD_BOOLEAN: return BoolGetDatum(field->default_boolean);
    case FIELD_OBJECT: return empty_object();
    case FIELD_TEXT:
    case FIELD_UUID:
    case FIELD_CHOICE:
    case FIELD_URL:
        if (field->default_text != NULL)
            return CStringGetTextDatum(field->default_text);
        break;
    case FIELD_DATE: break;
    }
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
    case FIELD_TEXT:
    case FIELD_UUID:
    case FIELD_CHOICE:
    case FIELD_URL: return is_text_equal(a, b);
    }
    pg_unreachable();
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
    for (int group = CONTACT_ROW_GROUPS; group < CONTACT_STORED_GROUPS; group++)
        if (!is_list_equal(&a->lists[group], &b->lists[group], group))
            return false;
    return true;
}

/* ---- contacts and lists ------------------------------------------------------ */

void
contact_init(Contact *contact)
{
    memset(contact, 0, sizeof(*contact));
    for (int group = 0; group < CONTACT_ROW_GROUPS; group++)
        contact_record_init(&contact->rows[group], group);
}

ContactRecord *
contact_list_extend(ContactList *list)
{
    if (list->items == NULL) {
        list->capacity = 8;
        list->items = palloc(list->capacity * sizeof(ContactRecord));
    } else if (list->count == list->capacity) {
        list->capacity *= 2;
        list->items = repalloc(list->items, list->capacity * sizeof(ContactRecord));
    }
    return &list->items[list->count++];
}

ContactRecord *
contact_list_append(ContactList *list, ContactGroup group)
{
    ContactRecord *item = contact_list_extend(list);

    contact_record_init(item, group);
    return item;
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

/* ---- names ----------------------------------------------------------------------- */

static int
compare_bytes(const char *a, int a_len, const char *b, int b_len)
{
    int order = memcmp(a, b, Min(a_len, b_len));

    return order != 0 ? order : a_len - b_len;
}

char *
contact_text(const ContactRecord *record, int field)
{
    return record->nulls[field] ? NULL : TextDatumGetCString(record->values[field]);
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
