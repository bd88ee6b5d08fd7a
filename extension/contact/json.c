/*
 * contact/json.c: writes answers, following the table of groups and fields.
 */
#include "extension/base/compat.h"

#include "extension/contact/json.h"
#include "extension/json/text.h"

#include "utils/date.h"
#include "utils/jsonb.h"

static void
write_key(StringInfo out, const char *key)
{
    appendStringInfoCharMacro(out, '"');
    appendStringInfoString(out, key);
    appendBinaryStringInfo(out, "\":", 2);
}

static void
write_null(StringInfo out)
{
    appendBinaryStringInfo(out, "null", 4);
}

static void
write_value(StringInfo out, const ContactField *field, const ContactRecord *record, int i)
{
    if (record->nulls[i]) {
        write_null(out);
        return;
    }
    switch (field->kind) {
    case FIELD_BOOLEAN:
        appendStringInfoString(out, DatumGetBool(record->values[i]) ? "true" : "false");
        break;
    case FIELD_DATE: json_text_write_date(out, DatumGetDateADT(record->values[i])); break;
    case FIELD_OBJECT: {
        Jsonb *object = DatumGetJsonbP(record->values[i]);

        JsonbToCString(out, &object->root, VARSIZE(object));
        break;
    }
    case FIELD_TEXT:
    case FIELD_UUID:
    case FIELD_CHOICE:
    case FIELD_URL: json_text_write_datum(out, record->values[i]); break;
    }
}

static void
write_timestamps(StringInfo out, const ContactRecord *record)
{
    appendStringInfoCharMacro(out, ',');
    write_key(out, "create_timestamp");
    if (record->exists)
        json_text_write_time(out, record->create_timestamp);
    else
        write_null(out);
    appendStringInfoCharMacro(out, ',');
    write_key(out, "update_timestamp");
    if (record->exists)
        json_text_write_time(out, record->update_timestamp);
    else
        write_null(out);
}

/* "email_id" is only used for the group "email". */
static void
write_record(StringInfo out, ContactGroup group, const ContactRecord *record,
             const pg_uuid_t *email_id)
{
    const ContactGroupSpec *spec = &contact_groups[group];

    for (int i = 0; i < spec->field_count; i++) {
        appendStringInfoCharMacro(out, i == 0 ? '{' : ',');
        write_key(out, spec->fields[i].name);
        write_value(out, &spec->fields[i], record, i);
    }
    if (group == GROUP_EMAIL) {
        appendStringInfoCharMacro(out, ',');
        write_key(out, "email_id");
        json_text_write_uuid(out, email_id);
    }
    if (spec->shows_timestamps)
        write_timestamps(out, record);
    appendStringInfoCharMacro(out, '}');
}

static void
write_list(StringInfo out, ContactGroup group, const ContactList *list)
{
    write_key(out, contact_groups[group].name);
    appendStringInfoCharMacro(out, '[');
    for (int i = 0; i < list->count; i++) {
        if (i > 0)
            appendStringInfoCharMacro(out, ',');
        write_record(out, group, &list->items[i], NULL);
    }
    appendStringInfoString(out, "],");
}

/* ---- what older readers look for --------------------------------------------------- */

static const ContactRecord *
first_subscribed(const ContactList *waitlists, const char *prefix, bool is_whole_name)
{
    for (int i = 0; i < waitlists->count; i++) {
        const ContactRecord *item = &waitlists->items[i];

        if (contact_flag(item, WAITLIST_SUBSCRIBED) && contact_name_starts_with(item, prefix) &&
            (!is_whole_name ||
             VARSIZE_ANY_EXHDR(DatumGetTextPP(item->values[LIST_NAME])) == strlen(prefix)))
            return item;
    }
    return NULL;
}

/*
 * Writes the fields of the waitlist that have these names; null for a field that it does not
 * have, or if there is no waitlist.
 */
static void
write_legacy(StringInfo out, ContactGroup group, const ContactRecord *waitlist)
{
    const ContactGroupSpec *spec = &contact_groups[group];
    Jsonb *fields = waitlist != NULL && !waitlist->nulls[WAITLIST_FIELDS]
                        ? DatumGetJsonbP(waitlist->values[WAITLIST_FIELDS])
                        : NULL;

    write_key(out, spec->name);
    for (int i = 0; i < spec->field_count; i++) {
        const char *name = spec->fields[i].name;
        JsonbValue value;

        appendStringInfoCharMacro(out, i == 0 ? '{' : ',');
        write_key(out, name);
        if (fields != NULL && JB_ROOT_IS_OBJECT(fields) &&
            getKeyJsonValueFromContainer(&fields->root, name, strlen(name), &value) != NULL)
            JsonbToCString(out, &JsonbValueToJsonb(&value)->root, 32);
        else
            write_null(out);
    }
    appendStringInfoCharMacro(out, '}');
}

void
contact_json_write(StringInfo out, const Contact *contact, bool has_status)
{
    static const ContactGroup order[] = {GROUP_AMO, GROUP_EMAIL, GROUP_FXA, GROUP_MOFO};

    StaticAssertStmt(lengthof(order) == CONTACT_ROW_GROUPS, "answers have all groups");
    StaticAssertStmt(CONTACT_BODY_GROUPS - CONTACT_STORED_GROUPS == 2, "and all older members");

    appendStringInfoCharMacro(out, '{');
    for (size_t i = 0; i < lengthof(order); i++) {
        write_key(out, contact_groups[order[i]].name);
        write_record(out, order[i], &contact->rows[order[i]], &contact->email_id);
        appendStringInfoCharMacro(out, ',');
    }
    for (int group = CONTACT_ROW_GROUPS; group < CONTACT_STORED_GROUPS; group++)
        write_list(out, group, &contact->lists[group]);
    write_legacy(out, GROUP_VPN_WAITLIST,
                 first_subscribed(&contact->lists[GROUP_WAITLISTS], "vpn", true));
    appendStringInfoCharMacro(out, ',');
    write_legacy(out, GROUP_RELAY_WAITLIST,
                 first_subscribed(&contact->lists[GROUP_WAITLISTS], "relay", false));
    if (has_status)
        appendStringInfoString(out, ",\"status\":\"ok\"");
    appendStringInfoCharMacro(out, '}');
}

void
contact_json_write_identity(StringInfo out, const Contact *contact)
{
    appendStringInfoCharMacro(out, '{');
    write_key(out, "email_id");
    json_text_write_uuid(out, &contact->email_id);
    for (int id = ID_EMAIL_ID + 1; id < CONTACT_ID_COUNT; id++) {
        const ContactIdSpec *spec = &contact_ids[id];

        appendStringInfoCharMacro(out, ',');
        write_key(out, spec->name);
        write_value(out, &contact_groups[spec->group].fields[spec->field],
                    &contact->rows[spec->group], spec->field);
    }
    appendStringInfoCharMacro(out, '}');
}
