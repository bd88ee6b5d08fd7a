/*
 * contact/schema.c: JSON Schemas of contacts, in bodies and in answers, made from the table of
 * fields. The description of the REST API shows them. Bodies are checked by contact/body.c, not
 * with these schemas.
 *
 * Both accept the same bodies, except for rules that a schema cannot express: no name twice in a
 * list, the schemas of waitlists, the connection between ids and what is stored, and the length
 * of the text of a number.
 */
#include "extension/base/compat.h"

#include "extension/contact/body_value.h"
#include "extension/contact/contact.h"
#include "extension/contact/relay.h"
#include "extension/contact/schema.h"
#include "extension/json/text.h"

#include "fmgr.h"

/* Where a schema is used. The schema of a group or field depends on it. */
typedef enum SchemaUse {
    IN_WHOLE,  /* POST and PUT */
    IN_CHANGE, /* PATCH */
    IN_ANSWER
} SchemaUse;

static const char *const use_names[] = {"new_", "changed_", ""};

static void
write_string(StringInfo out, const char *text)
{
    json_text_write(out, text, strlen(text));
}

/* "description": …, */
static void
write_description(StringInfo out, const char *description)
{
    appendStringInfoString(out, "\"description\":");
    write_string(out, description);
    appendStringInfoChar(out, ',');
}

/* ---- fields -------------------------------------------------------------------- */

static void
write_default(StringInfo out, const ContactField *field)
{
    switch (field->kind) {
    case FIELD_BOOLEAN:
        appendStringInfo(out, ",\"default\":%s", field->default_boolean ? "true" : "false");
        break;
    case FIELD_OBJECT: appendStringInfoString(out, ",\"default\":{}"); break;
    case FIELD_TEXT:
    case FIELD_UUID:
    case FIELD_CHOICE:
    case FIELD_URL:
        if (field->default_text != NULL) {
            appendStringInfoString(out, ",\"default\":");
            write_string(out, field->default_text);
        }
        break;
    case FIELD_DATE: break;
    }
}

/*
 * Answers show what is stored, even if it no longer satisfies a rule, so only the types are
 * given.
 */
static void
write_answer_field(StringInfo out, const ContactField *field)
{
    switch (field->kind) {
    case FIELD_BOOLEAN: appendStringInfoString(out, "\"type\":\"boolean\""); break;
    case FIELD_DATE:
        appendStringInfoString(out, "\"type\":[\"string\",\"null\"],\"format\":\"date\"");
        break;
    case FIELD_OBJECT: appendStringInfoString(out, "\"type\":\"object\""); break;
    case FIELD_TEXT:
    case FIELD_UUID:
    case FIELD_CHOICE:
    case FIELD_URL:
        appendStringInfoString(out, field->is_required ? "\"type\":\"string\""
                                                       : "\"type\":[\"string\",\"null\"]");
        break;
    }
}

static void
write_field(StringInfo out, const ContactField *field, SchemaUse use)
{
    write_string(out, field->name);
    appendStringInfoString(out, ":{");
    write_description(out, field->description);
    if (use == IN_ANSWER)
        write_answer_field(out, field);
    else
        body_value_publish(out, field);
    if (use == IN_WHOLE)
        write_default(out, field);
    appendStringInfoChar(out, '}');
}

/* ---- groups ---------------------------------------------------------------------- */

#define TIMESTAMP_SCHEMA(about)                                                                    \
    "{\"description\":\"" about "\",\"type\":[\"string\",\"null\"],\"format\":\"date-time\"}"

/* Members of the group that are not fields of its record. */
static void
write_more_properties(StringInfo out, ContactGroup group, SchemaUse use)
{
    if (group == GROUP_EMAIL && use == IN_ANSWER) {
        appendStringInfo(out, ",\"%s\":{", contact_email_id.name);
        write_description(out, contact_email_id.description);
        appendStringInfoString(out, "\"type\":\"string\",\"format\":\"uuid\"}");
    } else if (group == GROUP_EMAIL) {
        appendStringInfoChar(out, ',');
        write_field(out, &contact_email_id, use);
    }
    if (use == IN_ANSWER && contact_groups[group].shows_timestamps)
        appendStringInfoString(
            out, ",\"create_timestamp\":" TIMESTAMP_SCHEMA(
                     "When it was made; null for what is not "
                     "stored") ",\"update_"
                               "timestamp\":" TIMESTAMP_SCHEMA("When it last changed; null "
                                                               "for what is not stored"));
}

static void
write_required(StringInfo out, ContactGroup group, SchemaUse use)
{
    const ContactGroupSpec *spec = &contact_groups[group];
    const char *separator = "";

    appendStringInfoString(out, "\"required\":[");
    for (int i = 0; i < spec->field_count; i++) {
        const ContactField *field = &spec->fields[i];

        if (use == IN_ANSWER || contact_field_is_required(group, field, use == IN_CHANGE)) {
            appendStringInfoString(out, separator);
            write_string(out, field->name);
            separator = ",";
        }
    }
    if (use == IN_ANSWER && group == GROUP_EMAIL)
        appendStringInfo(out, ",\"%s\"", contact_email_id.name);
    if (use == IN_ANSWER && spec->shows_timestamps)
        appendStringInfoString(out, ",\"create_timestamp\",\"update_timestamp\"");
    appendStringInfoString(out, "]");
}

/* "new_email": { … } */
static void
write_group(StringInfo out, ContactGroup group, SchemaUse use)
{
    const ContactGroupSpec *spec = &contact_groups[group];

    appendStringInfo(out, "\"%s%s\":{", use_names[use], spec->name);
    write_description(out, spec->description);
    appendStringInfoString(out, "\"type\":\"object\",");
    write_required(out, group, use);
    appendStringInfoString(out, ",\"properties\":{");
    for (int i = 0; i < spec->field_count; i++) {
        if (i > 0)
            appendStringInfoChar(out, ',');
        write_field(out, &spec->fields[i], use);
    }
    write_more_properties(out, group, use);
    appendStringInfoString(out, "}}");
}

/* ---- contacts --------------------------------------------------------------------- */

/* The object of the group, or a list of such objects. */
static char *
make_reference(ContactGroup group, SchemaUse use)
{
    const ContactGroupSpec *spec = &contact_groups[group];
    char *reference =
        psprintf("{\"$ref\":\"#/components/schemas/%s%s\"}", use_names[use], spec->name);

    if (!contact_group_is_list(group))
        return reference;
    if (use == IN_ANSWER)
        return psprintf("{\"type\":\"array\",\"items\":%s}", reference);
    return psprintf("{\"type\":\"array\",\"items\":%s,\"maxItems\":%d}", reference,
                    spec->max_items);
}

/*
 * Everything that a body may have for a group: the group itself and, where allowed, null or a
 * word.
 */
static void
write_member(StringInfo out, ContactGroup group, SchemaUse use)
{
    static const ContactStandIn nothing = {NULL, false};
    const ContactGroupSpec *spec = &contact_groups[group];
    const ContactStandIn *instead =
        use == IN_ANSWER ? &nothing : contact_group_stand_in(group, use == IN_CHANGE);
    const char *reference = make_reference(group, use);

    appendStringInfo(out, "\"%s\":", spec->name);
    if (instead->word == NULL && !instead->allows_null) {
        appendStringInfoString(out, reference);
        return;
    }
    appendStringInfo(out, "{\"anyOf\":[%s,", reference);
    if (instead->word == NULL)
        appendStringInfoString(out, "{\"type\":\"null\"}");
    else if (instead->allows_null)
        appendStringInfo(out, "{\"enum\":[\"%s\",null]}", instead->word);
    else
        appendStringInfo(out, "{\"const\":\"%s\"}", instead->word);
    appendStringInfoString(out, spec->is_deprecated ? "],\"deprecated\":true}" : "]}");
}

static void
write_contact(StringInfo out, const char *name, const char *description, SchemaUse use)
{
    const char *separator = "";

    appendStringInfo(out, ",\"%s\":{", name);
    write_description(out, description);
    appendStringInfoString(out, "\"type\":\"object\",\"required\":[");
    for (int group = 0; group < CONTACT_BODY_GROUPS; group++)
        if (use == IN_ANSWER || (use == IN_WHOLE && contact_groups[group].is_required)) {
            appendStringInfo(out, "%s\"%s\"", separator, contact_groups[group].name);
            separator = ",";
        }
    appendStringInfoString(out, "],\"properties\":{");
    for (int group = 0; group < CONTACT_BODY_GROUPS; group++) {
        if (group > 0)
            appendStringInfoChar(out, ',');
        write_member(out, group, use);
    }
    if (use == IN_ANSWER)
        appendStringInfoString(out, ",\"status\":{\"const\":\"ok\"}");
    appendStringInfoChar(out, '}');
    if (use != IN_ANSWER) {
        appendStringInfoChar(out, ',');
        contact_relay_publish(out);
    }
    appendStringInfoChar(out, '}');
}

void
contact_schema_write(StringInfo out)
{
    appendStringInfoString(out, "{\"flag\":");
    body_value_publish_flag(out);
    for (int use = IN_WHOLE; use <= IN_ANSWER; use++) {
        for (int group = 0; group < CONTACT_BODY_GROUPS; group++) {
            appendStringInfoChar(out, ',');
            write_group(out, group, use);
        }
    }
    write_contact(out, "new_contact", "A contact to be created, or to replace another", IN_WHOLE);
    write_contact(out, "changed_contact", "What is to change of a contact; the rest stays",
                  IN_CHANGE);
    write_contact(out, "contact", "A contact", IN_ANSWER);
    appendStringInfoChar(out, '}');
}

PG_FUNCTION_INFO_V1(ctms_contact_schemas);

PGDLLEXPORT Datum
ctms_contact_schemas(PG_FUNCTION_ARGS)
{
    StringInfoData out;

    json_answer_begin(&out);
    contact_schema_write(&out);
    PG_RETURN_DATUM(json_answer_end(&out));
}
