/*
 * contact/body.c: reads the body of a contact by the table of groups and fields.
 *
 * Whether a body is valid is the verdict of the JSON Schemas that are made from that table.
 * Reading it converts the values and, where the verdict is no, says in the words and at the
 * places that clients know what is wrong.
 */
#include "extension/base/compat.h"

#include "extension/contact/body.h"
#include "extension/contact/body_value.h"
#include "extension/contact/coerce.h"
#include "extension/contact/schema.h"

#include "miscadmin.h"
#include "utils/builtins.h"

/* More than anybody subscribes to; keeps the cost of one body bounded. */
#define MAX_ITEMS 1000

static const ContactField email_id_field = {
    .name = "email_id", .kind = FIELD_UUID, .is_nullable = true};

static inline bool
is_list(ContactGroup group)
{
    return group == GROUP_NEWSLETTERS || group == GROUP_WAITLISTS;
}

static inline bool
is_legacy(ContactGroup group)
{
    return group == GROUP_VPN_WAITLIST || group == GROUP_RELAY_WAITLIST;
}

char *
contact_text(const ContactRecord *record, int field)
{
    return record->nulls[field] ? NULL : TextDatumGetCString(record->values[field]);
}

bool
contact_body_is_legacy(const ContactBody *body)
{
    return body->member[GROUP_WAITLISTS] == MEMBER_ABSENT ||
           (body->member[GROUP_WAITLISTS] == MEMBER_GIVEN && body->waitlists.count == 0);
}

static JsonbValue *
find_member(JsonbContainer *object, const char *key, JsonbValue *value)
{
    return getKeyJsonValueFromContainer(object, key, strlen(key), value);
}

/* ---- groups ------------------------------------------------------------------ */

/* Fields of one object; `needs_required` is off for the parts of a PATCH. */
static void
read_fields(ContactRecord *record, ContactGroup group, JsonbContainer *object, bool needs_required,
            const BodyPlace *place, BodyErrors *errors)
{
    const ContactGroupSpec *spec = &contact_groups[group];

    record->exists = true;
    for (int i = 0; i < spec->field_count; i++) {
        const ContactField *field = &spec->fields[i];
        BodyPlace field_place = body_key(place, field->name);
        JsonbValue value;

        if (find_member(object, field->name, &value) != NULL) {
            if (body_value_read(field, &value, &field_place, errors, &record->values[i],
                                &record->nulls[i]))
                record->given |= (uint32)1 << i;
            else
                record->nulls[i] = true;
        } else if (field->is_required) {
            record->nulls[i] = true;
            if (needs_required)
                body_error_missing(errors, &field_place);
        }
    }
}

static void
read_email_id(ContactBody *body, JsonbContainer *email, const BodyPlace *place, BodyErrors *errors)
{
    BodyPlace id_place = body_key(place, email_id_field.name);
    JsonbValue value;
    Datum ignored;
    bool is_null;

    if (find_member(email, email_id_field.name, &value) == NULL ||
        !body_value_read(&email_id_field, &value, &id_place, errors, &ignored, &is_null) || is_null)
        return;
    body->has_email_id = uuid_read(value.val.string.val, value.val.string.len, &body->email_id);
}

/* ---- lists ------------------------------------------------------------------- */

static void
check_repeated_names(const ContactList *list, const BodyPlace *place, BodyErrors *errors)
{
    for (int i = 1; i < list->count; i++) {
        if (list->items[i].nulls[LIST_NAME])
            break;
        if (contact_name_compare(&list->items[i - 1], &list->items[i]) == 0) {
            BodyPlace item_place = body_index(place, list->items[i].body_index);
            BodyPlace name_place = body_key(&item_place, "name");

            body_error_add(errors, &name_place, "value_error.duplicate",
                           "the same name is given twice");
        }
    }
}

static void
read_list(ContactList *list, ContactGroup group, JsonbContainer *array, const BodyPlace *place,
          BodyErrors *errors)
{
    JsonbIterator *iterator = JsonbIteratorInit(array);
    JsonbIteratorToken token;
    JsonbValue value;

    if (JsonContainerSize(array) > MAX_ITEMS) {
        body_error_add(errors, place, "value_error.list.max_items",
                       "ensure this value has at most %d items", MAX_ITEMS);
        return;
    }
    while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE) {
        ContactRecord *item;
        BodyPlace item_place;

        if (token != WJB_ELEM)
            continue;
        CHECK_FOR_INTERRUPTS();
        item = contact_list_append(list, group);
        item->body_index = list->count - 1;
        item_place = body_index(place, item->body_index);
        if (value.type == jbvNull)
            body_error_null(errors, &item_place);
        else if (body_value_is_object(&value, &item_place, errors))
            read_fields(item, group, value.val.binary.data, true, &item_place, errors);
        if ((item->given & 1 << LIST_NAME) == 0)
            item->nulls[LIST_NAME] = true;
    }
    contact_list_sort(list);
    check_repeated_names(list, place, errors);
}

/* ---- members of the body ------------------------------------------------------- */

/* The word that may stand in place of the value, or NULL. */
static const char *
allowed_word(ContactGroup group, ContactMethod method)
{
    if (is_legacy(group))
        return "DELETE";
    if (method != METHOD_PATCH || group == GROUP_EMAIL)
        return NULL;
    return is_list(group) ? "UNSUBSCRIBE" : "DELETE";
}

static bool
allows_null(ContactGroup group, ContactMethod method)
{
    if (is_legacy(group))
        return true;
    return method != METHOD_PATCH && group != GROUP_EMAIL && !is_list(group);
}

static BodyMember
read_word(ContactGroup group, ContactMethod method, const JsonbValue *value, const BodyPlace *place,
          BodyErrors *errors)
{
    const char *word = allowed_word(group, method);

    if (word != NULL && value->val.string.len == (int)strlen(word) &&
        memcmp(value->val.string.val, word, strlen(word)) == 0)
        return MEMBER_WORD;
    if (word != NULL)
        body_error_add(errors, place, "value_error.const", "unexpected value; permitted: '%s'",
                       word);
    else if (is_list(group))
        body_error_add(errors, place, "type_error.list", "value is not a valid list");
    else
        body_error_add(errors, place, "type_error.dict", "value is not a valid dict");
    return MEMBER_ABSENT;
}

static BodyMember
read_list_member(ContactBody *body, ContactGroup group, JsonbValue *value, const BodyPlace *place,
                 BodyErrors *errors)
{
    if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data)) {
        body_error_add(errors, place, "type_error.list", "value is not a valid list");
        return MEMBER_ABSENT;
    }
    read_list(group == GROUP_NEWSLETTERS ? &body->newsletters : &body->waitlists, group,
              value->val.binary.data, place, errors);
    return MEMBER_GIVEN;
}

static BodyMember
read_member(ContactBody *body, ContactGroup group, JsonbContainer *root, BodyErrors *errors)
{
    BodyPlace place = body_key(&body_root, contact_groups[group].name);
    JsonbValue value;

    if (find_member(root, contact_groups[group].name, &value) == NULL) {
        if (group == GROUP_EMAIL && body->method != METHOD_PATCH)
            body_error_missing(errors, &place);
        return MEMBER_ABSENT;
    }
    if (value.type == jbvNull) {
        if (!allows_null(group, body->method))
            body_error_null(errors, &place);
        return MEMBER_NULL;
    }
    if (value.type == jbvString)
        return read_word(group, body->method, &value, &place, errors);
    if (is_list(group))
        return read_list_member(body, group, &value, &place, errors);
    if (!body_value_is_object(&value, &place, errors))
        return MEMBER_ABSENT;

    read_fields(&body->records[group], group, value.val.binary.data, body->method != METHOD_PATCH,
                &place, errors);
    if (group == GROUP_EMAIL)
        read_email_id(body, value.val.binary.data, &place, errors);
    return MEMBER_GIVEN;
}

/* ---- rules over several members ------------------------------------------------ */

static bool
has_relay_country(const ContactBody *body)
{
    const ContactRecord *legacy = &body->records[GROUP_RELAY_WAITLIST];
    const ContactRecord *relay = contact_list_find(&body->waitlists, "relay", 5);
    JsonbValue geo;

    if (body->member[GROUP_RELAY_WAITLIST] == MEMBER_GIVEN && !legacy->nulls[LEGACY_GEO] &&
        VARSIZE_ANY_EXHDR(DatumGetTextPP(legacy->values[LEGACY_GEO])) > 0)
        return true;
    if (relay == NULL || relay->nulls[WAITLIST_FIELDS])
        return false;
    if (find_member(&DatumGetJsonbP(relay->values[WAITLIST_FIELDS])->root, "geo", &geo) == NULL)
        return false;
    return geo.type != jbvNull && (geo.type != jbvString || geo.val.string.len > 0);
}

static void
check_relay_country(const ContactBody *body, BodyErrors *errors)
{
    BodyPlace list_place = body_key(&body_root, "newsletters");
    int first = -1;

    for (int i = 0; i < body->newsletters.count; i++) {
        const ContactRecord *item = &body->newsletters.items[i];

        if (contact_name_starts_with(item, "relay-") && contact_flag(item, NEWSLETTER_SUBSCRIBED) &&
            (first < 0 || item->body_index < first))
            first = item->body_index;
    }
    if (first >= 0 && !has_relay_country(body)) {
        BodyPlace place = body_index(&list_place, first);

        body_error_add(errors, &place, "value_error.relay_country", "Relay country missing");
    }
}

void
contact_body_read(ContactBody *body, ContactMethod method, const Jsonb *json, BodyErrors *errors)
{
    int count_before = errors->count;
    bool is_valid;

    memset(body, 0, sizeof(*body));
    body->method = method;
    if (!JB_ROOT_IS_OBJECT(json)) {
        body_error_add(errors, &body_root, "type_error.dict", "value is not a valid dict");
        return;
    }
    json = contact_coerce(json);
    is_valid = contact_schema_accepts(method, json);
    for (int group = 0; group < CONTACT_BODY_GROUPS; group++) {
        contact_record_init(&body->records[group], group);
        body->member[group] = read_member(body, group, (JsonbContainer *)&json->root, errors);
    }
    check_relay_country(body, errors);
    /* Tests show that both always agree; if they ever do not, the schema is right. */
    if (!is_valid && errors->count == count_before)
        body_error_add(errors, &body_root, "value_error.schema",
                       "the body is not valid under its JSON Schema");
}
