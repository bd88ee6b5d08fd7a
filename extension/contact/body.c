/*
 * contact/body.c: reads the body of a contact, following the table of groups and fields
 * (contact/fields.h). It decides whether a body is valid, and reports faults with the words and
 * places that clients know.
 *
 * It has no rules of its own about groups or fields. Those are in the table; the rules for single
 * values are in contact/body_value.c; the one rule over several members is in contact/relay.c.
 */
#include "extension/base/compat.h"

#include "extension/contact/body.h"
#include "extension/contact/body_form.h"
#include "extension/contact/body_value.h"
#include "extension/contact/relay.h"

#include "miscadmin.h"

static inline bool
is_change(const ContactBody *body)
{
    return body->method == METHOD_PATCH;
}

bool
contact_body_is_legacy(const ContactBody *body)
{
    return body->member[GROUP_WAITLISTS] == MEMBER_ABSENT ||
           (body->member[GROUP_WAITLISTS] == MEMBER_GIVEN &&
            body->lists[GROUP_WAITLISTS].count == 0);
}

static JsonbValue *
find_member(JsonbContainer *object, const char *key, JsonbValue *value)
{
    return getKeyJsonValueFromContainer(object, key, strlen(key), value);
}

/* ---- groups ------------------------------------------------------------------ */

static void
read_fields(ContactRecord *record, const ContactBody *body, ContactGroup group,
            JsonbContainer *object, const BodyPlace *place, BodyErrors *errors)
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
            if (contact_field_is_required(group, field, is_change(body)))
                body_error_add_missing(errors, &field_place);
        }
    }
}

static void
read_email_id(ContactBody *body, JsonbContainer *email, const BodyPlace *place, BodyErrors *errors)
{
    BodyPlace id_place = body_key(place, contact_email_id.name);
    JsonbValue value;
    Datum ignored;
    bool is_null;

    if (find_member(email, contact_email_id.name, &value) == NULL ||
        !body_value_read(&contact_email_id, &value, &id_place, errors, &ignored, &is_null) ||
        is_null)
        return;
    body->has_email_id =
        body_form_read_uuid(value.val.string.val, value.val.string.len, &body->email_id);
}

/* ---- lists ------------------------------------------------------------------- */

static void
check_repeated_names(const ContactList *list, ContactGroup group, const BodyPlace *place,
                     BodyErrors *errors)
{
    for (int i = 1; i < list->count; i++) {
        if (list->items[i].nulls[LIST_NAME])
            break;
        if (contact_name_compare(&list->items[i - 1], &list->items[i]) == 0) {
            BodyPlace item_place = body_index(place, list->items[i].body_index);
            BodyPlace name_place =
                body_key(&item_place, contact_groups[group].fields[LIST_NAME].name);

            body_error_add(errors, &name_place, "value_error.duplicate",
                           "the same name is given twice");
        }
    }
}

static void
read_list(ContactBody *body, ContactGroup group, JsonbContainer *array, const BodyPlace *place,
          BodyErrors *errors)
{
    ContactList *list = &body->lists[group];
    int max_items = contact_groups[group].max_items;
    JsonbIterator *iterator = JsonbIteratorInit(array);
    JsonbIteratorToken token;
    JsonbValue value;

    if ((int)JsonContainerSize(array) > max_items) {
        body_error_add(errors, place, "value_error.list.max_items",
                       "ensure this value has at most %d items", max_items);
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
            body_error_add_null(errors, &item_place);
        else if (body_value_is_object(&value, &item_place, errors))
            read_fields(item, body, group, value.val.binary.data, &item_place, errors);
        if ((item->given & 1 << LIST_NAME) == 0)
            item->nulls[LIST_NAME] = true;
    }
    contact_list_sort(list);
    check_repeated_names(list, group, place, errors);
}

/* ---- members of the body ------------------------------------------------------- */

static void
add_wrong_type(ContactGroup group, const BodyPlace *place, BodyErrors *errors)
{
    if (contact_group_is_list(group))
        body_error_add(errors, place, "type_error.list", "value is not a valid list");
    else
        body_error_add(errors, place, "type_error.dict", "value is not a valid dict");
}

static BodyMember
read_word(ContactGroup group, const char *word, const JsonbValue *value, const BodyPlace *place,
          BodyErrors *errors)
{
    if (word == NULL) {
        add_wrong_type(group, place, errors);
        return MEMBER_ABSENT;
    }
    if (value->val.string.len == (int)strlen(word) &&
        memcmp(value->val.string.val, word, strlen(word)) == 0)
        return MEMBER_WORD;
    body_error_add(errors, place, "value_error.const", "unexpected value; permitted: '%s'", word);
    return MEMBER_ABSENT;
}

static BodyMember
read_group(ContactBody *body, ContactGroup group, const JsonbValue *value, const BodyPlace *place,
           BodyErrors *errors)
{
    bool is_list = contact_group_is_list(group);
    JsonbContainer *container = value->type == jbvBinary ? value->val.binary.data : NULL;

    if (container == NULL ||
        !(is_list ? JsonContainerIsArray(container) : JsonContainerIsObject(container))) {
        add_wrong_type(group, place, errors);
        return MEMBER_ABSENT;
    }
    if (is_list)
        read_list(body, group, container, place, errors);
    else
        read_fields(&body->records[group], body, group, container, place, errors);
    if (group == GROUP_EMAIL)
        read_email_id(body, container, place, errors);
    return MEMBER_GIVEN;
}

static BodyMember
read_member(ContactBody *body, ContactGroup group, JsonbContainer *root, BodyErrors *errors)
{
    const ContactStandIn *instead = contact_group_stand_in(group, is_change(body));
    BodyPlace place = body_key(&body_root, contact_groups[group].name);
    JsonbValue value;

    if (find_member(root, contact_groups[group].name, &value) == NULL) {
        if (contact_groups[group].is_required && !is_change(body))
            body_error_add_missing(errors, &place);
        return MEMBER_ABSENT;
    }
    if (value.type == jbvNull) {
        if (!instead->allows_null)
            body_error_add_null(errors, &place);
        return MEMBER_NULL;
    }
    if (value.type == jbvString)
        return read_word(group, instead->word, &value, &place, errors);
    return read_group(body, group, &value, &place, errors);
}

void
contact_body_read(ContactBody *body, ContactMethod method, const Jsonb *json, BodyErrors *errors)
{
    memset(body, 0, sizeof(*body));
    body->method = method;
    if (!JB_ROOT_IS_OBJECT(json)) {
        body_error_add(errors, &body_root, "type_error.dict", "value is not a valid dict");
        return;
    }
    for (int group = 0; group < CONTACT_BODY_GROUPS; group++) {
        contact_record_init(&body->records[group], group);
        body->member[group] = read_member(body, group, (JsonbContainer *)&json->root, errors);
    }
    contact_relay_check(body, errors);
}
