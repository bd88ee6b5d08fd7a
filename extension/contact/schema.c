/*
 * contact/schema.c: JSON Schemas of contacts, in bodies and in answers, made from the table of
 * fields and the comments on the columns. The description of the REST API shows them. Bodies are
 * checked by contact/body.c, not with these schemas.
 *
 * What the schemas allow is accepted, except for rules that a schema cannot express: no name twice
 * in a list, the schemas of waitlists, the connection between ids and what is stored, and what we
 * ask of a URL beside its format. What is accepted beside that, such as numbers for texts, is said
 * in descriptions.
 */
#include "extension/base/compat.h"

#include "extension/contact/body_value.h"
#include "extension/contact/contact.h"
#include "extension/contact/relay.h"
#include "extension/contact/schema.h"
#include "extension/json/text.h"

#include "catalog/namespace.h"
#include "catalog/pg_class_d.h"
#include "commands/comment.h"
#include "fmgr.h"
#include "utils/lsyscache.h"

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

/* ---- descriptions ------------------------------------------------------------------ */

/* "description": …, */
static void
write_description(StringInfo out, const char *description)
{
    appendStringInfoString(out, "\"description\":");
    write_string(out, description);
    appendStringInfoChar(out, ',');
}

/* The comment on a table of ctms, or on a column of it; NULL if there is none. */
static char *
comment_on(const char *table, const char *column)
{
    Oid schema = get_namespace_oid("ctms", true);
    Oid relation =
        table != NULL && OidIsValid(schema) ? get_relname_relid(table, schema) : InvalidOid;
    AttrNumber number = 0;

    if (!OidIsValid(relation))
        return NULL;
    if (column != NULL && (number = get_attnum(relation, column)) == InvalidAttrNumber)
        return NULL;
    return GetComment(relation, RelationRelationId, number);
}

/* The comment on the column, and what else is to be said; each may be missing. */
static void
write_column_description(StringInfo out, const char *comment, const char *more)
{
    if (comment == NULL)
        comment = more;
    else if (more != NULL)
        comment = psprintf("%s. %s", comment, more);
    if (comment != NULL)
        write_description(out, comment);
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
    if (field == &contact_email_id) {
        appendStringInfoString(out, "\"type\":\"string\",\"format\":\"uuid\"");
        return;
    }
    switch (field->kind) {
    case FIELD_BOOLEAN: appendStringInfoString(out, "\"type\":\"boolean\""); break;
    case FIELD_DATE:
        appendStringInfoString(out, "\"type\":[\"string\",\"null\"],\"format\":\"date\"");
        break;
    case FIELD_OBJECT:
        appendStringInfoString(out, "\"type\":\"object\",\"additionalProperties\":true");
        break;
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
write_example(StringInfo out, const ContactField *field)
{
    if (field->kind == FIELD_BOOLEAN || field->kind == FIELD_OBJECT)
        appendStringInfoString(out, field->example);
    else
        write_string(out, field->example);
}

static void
write_field(StringInfo out, ContactGroup group, const ContactField *field, SchemaUse use)
{
    write_string(out, field->name);
    appendStringInfoString(out, ":{");
    write_column_description(out,
                             field->description != NULL
                                 ? field->description
                                 : comment_on(contact_groups[group].table, field->name),
                             use == IN_ANSWER ? NULL : body_value_tolerance(field));
    if (use == IN_ANSWER)
        write_answer_field(out, field);
    else
        body_value_publish(out, field);
    if (use == IN_WHOLE)
        write_default(out, field);
    appendStringInfoString(out, ",\"examples\":[");
    write_example(out, field);
    appendStringInfoString(out, "]}");
}

/* ---- groups ---------------------------------------------------------------------- */

#define EXAMPLE_TIME "\"2026-01-15T09:30:00.123456+00:00\""

static void
write_timestamp(StringInfo out, ContactGroup group, const char *name)
{
    appendStringInfo(out, ",\"%s\":{", name);
    write_column_description(out, comment_on(contact_groups[group].table, name),
                             "In UTC; null for what is not stored");
    appendStringInfoString(out, "\"type\":[\"string\",\"null\"],\"format\":\"date-time\","
                                "\"examples\":[" EXAMPLE_TIME "]}");
}

/* Members of the group that are not fields of its record. */
static void
write_more_properties(StringInfo out, ContactGroup group, SchemaUse use)
{
    if (group == GROUP_EMAIL) {
        appendStringInfoChar(out, ',');
        write_field(out, group, &contact_email_id, use);
    }
    if (use == IN_ANSWER && contact_groups[group].shows_timestamps) {
        write_timestamp(out, group, "create_timestamp");
        write_timestamp(out, group, "update_timestamp");
    }
}

/* An object of the group, made of the examples of its fields. */
static void
write_group_example(StringInfo out, ContactGroup group, SchemaUse use)
{
    const ContactGroupSpec *spec = &contact_groups[group];
    const char *separator = "";

    appendStringInfoChar(out, '{');
    if (group == GROUP_EMAIL) {
        appendStringInfo(out, "\"%s\":", contact_email_id.name);
        write_example(out, &contact_email_id);
        separator = ",";
    }
    for (int i = 0; i < spec->field_count; i++) {
        const ContactField *field = &spec->fields[i];

        if (field->is_of_leaving && use != IN_ANSWER)
            continue;
        appendStringInfo(out, "%s\"%s\":", separator, field->name);
        if (field->is_of_leaving)
            appendStringInfoString(out, "null");
        else
            write_example(out, field);
        separator = ",";
    }
    if (use == IN_ANSWER && spec->shows_timestamps)
        appendStringInfoString(out, ",\"create_timestamp\":" EXAMPLE_TIME
                                    ",\"update_timestamp\":" EXAMPLE_TIME);
    appendStringInfoChar(out, '}');
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

/* Of the object of the group, or of an item of its list. */
static const char *
schema_name(ContactGroup group, SchemaUse use)
{
    const ContactGroupSpec *spec = &contact_groups[group];

    return psprintf("%s%s", use_names[use], spec->item_name ? spec->item_name : spec->name);
}

/* "new_email": { … } */
static void
write_group(StringInfo out, ContactGroup group, SchemaUse use)
{
    const ContactGroupSpec *spec = &contact_groups[group];

    appendStringInfo(out, "\"%s\":{", schema_name(group, use));
    write_description(out, spec->description);
    appendStringInfoString(out, "\"type\":\"object\",");
    write_required(out, group, use);
    appendStringInfoString(out, ",\"properties\":{");
    for (int i = 0; i < spec->field_count; i++) {
        if (i > 0)
            appendStringInfoChar(out, ',');
        write_field(out, group, &spec->fields[i], use);
    }
    write_more_properties(out, group, use);
    appendStringInfoString(out, "},\"examples\":[");
    write_group_example(out, group, use);
    appendStringInfoString(out, "]}");
}

/* ---- contacts --------------------------------------------------------------------- */

/* What may stand in place of the group; NULL: nothing. */
static const char *
describe_stand_in(const ContactGroupSpec *spec, const ContactStandIn *instead)
{
    if (spec->is_deprecated)
        return "\"DELETE\" or null in its place: the contact leaves what is meant";
    if (instead->word == NULL)
        return instead->allows_null ? "null is as if it was not given" : NULL;
    if (spec->max_items > 0)
        return "\"UNSUBSCRIBE\" in its place: the contact leaves all";
    return "\"DELETE\" in its place deletes all of it";
}

/* The object of the group, or a list of such objects. */
static char *
make_reference(ContactGroup group, SchemaUse use)
{
    const ContactGroupSpec *spec = &contact_groups[group];
    char *reference = psprintf("\"$ref\":\"#/components/schemas/%s\"", schema_name(group, use));

    if (!contact_group_is_list(group))
        return reference;
    if (use == IN_ANSWER)
        return psprintf("\"type\":\"array\",\"items\":{%s}", reference);
    return psprintf("\"type\":\"array\",\"items\":{%s},\"maxItems\":%d", reference,
                    spec->max_items);
}

static void
write_member_example(StringInfo out, ContactGroup group, SchemaUse use)
{
    bool is_list = contact_group_is_list(group);

    if (is_list)
        appendStringInfoChar(out, '[');
    write_group_example(out, group, use);
    if (is_list)
        appendStringInfoChar(out, ']');
}

/*
 * Everything that a body may have for a group: the group itself and, where allowed, null or a
 * word. A mere reference has no description of its own: that is where it leads.
 */
static void
write_member(StringInfo out, ContactGroup group, SchemaUse use)
{
    static const ContactStandIn nothing = {NULL, false};
    const ContactGroupSpec *spec = &contact_groups[group];
    const ContactStandIn *instead =
        use == IN_ANSWER ? &nothing : contact_group_stand_in(group, use == IN_CHANGE);
    bool has_choice = instead->word != NULL || instead->allows_null;
    const char *reference = make_reference(group, use);

    appendStringInfo(out, "\"%s\":{", spec->name);
    if (!has_choice && !contact_group_is_list(group)) {
        appendStringInfo(out, "%s}", reference);
        return;
    }
    write_column_description(
        out, contact_group_is_list(group) ? comment_on(spec->table, NULL) : spec->description,
        use == IN_ANSWER ? NULL : describe_stand_in(spec, instead));
    if (has_choice) {
        appendStringInfo(out, "\"anyOf\":[{%s}", reference);
        if (instead->word != NULL)
            appendStringInfo(out, ",{\"type\":\"string\",\"const\":\"%s\"}", instead->word);
        appendStringInfoString(out, instead->allows_null ? ",{\"type\":\"null\"}]" : "]");
    } else {
        appendStringInfoString(out, reference);
    }
    if (spec->is_deprecated && use != IN_ANSWER)
        appendStringInfoString(out, ",\"deprecated\":true");
    appendStringInfoString(out, ",\"examples\":[");
    write_member_example(out, group, use);
    appendStringInfoString(out, "]}");
}

/* All groups that are not deprecated; in an answer all. */
static void
write_contact_example(StringInfo out, SchemaUse use)
{
    const char *separator = "";

    appendStringInfoChar(out, '{');
    for (int group = 0; group < CONTACT_BODY_GROUPS; group++) {
        if (contact_groups[group].is_deprecated && use != IN_ANSWER)
            continue;
        appendStringInfo(out, "%s\"%s\":", separator, contact_groups[group].name);
        write_member_example(out, group, use);
        separator = ",";
    }
    appendStringInfoString(out, use == IN_ANSWER ? ",\"status\":\"ok\"}" : "}");
}

/* The rest of the contact of the other examples stays. */
#define CHANGE_EXAMPLE                                                                             \
    "{\"email\":{\"last_name\":\"Changed\"},\"newsletters\":[{\"name\":\"mozilla-and-you\","       \
    "\"subscribed\":false,\"unsub_reason\":\"too many e-mails\"}]}"

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
        appendStringInfoString(out, ",\"status\":{\"description\":\"In answers about one contact\","
                                    "\"type\":\"string\",\"const\":\"ok\",\"examples\":[\"ok\"]}");
    appendStringInfoString(out, "},\"examples\":[");
    if (use == IN_CHANGE)
        appendStringInfoString(out, CHANGE_EXAMPLE);
    else
        write_contact_example(out, use);
    appendStringInfoChar(out, ']');
    if (use != IN_ANSWER) {
        appendStringInfoChar(out, ',');
        contact_relay_publish(out);
    }
    appendStringInfoChar(out, '}');
}

/* ---- identities -------------------------------------------------------------------- */

static const ContactField *
id_field(const ContactIdSpec *spec)
{
    return spec->field == CONTACT_NO_FIELD ? &contact_email_id
                                           : &contact_groups[spec->group].fields[spec->field];
}

static void
write_identity(StringInfo out)
{
    appendStringInfoString(out, ",\"identity\":{");
    write_description(out, "The ids by which a contact can be found");
    appendStringInfoString(out, "\"type\":\"object\",\"required\":[");
    for (int id = 0; id < CONTACT_ID_COUNT; id++)
        appendStringInfo(out, "%s\"%s\"", id > 0 ? "," : "", contact_ids[id].name);
    appendStringInfoString(out, "],\"properties\":{");
    for (int id = 0; id < CONTACT_ID_COUNT; id++) {
        const ContactIdSpec *spec = &contact_ids[id];

        appendStringInfo(out, "%s\"%s\":{", id > 0 ? "," : "", spec->name);
        write_column_description(
            out, comment_on(contact_groups[spec->group].table, contact_id_column(id)), NULL);
        write_answer_field(out, id_field(spec));
        appendStringInfoString(out, ",\"examples\":[");
        write_example(out, id_field(spec));
        appendStringInfoString(out, "]}");
    }
    appendStringInfoString(out, "},\"examples\":[{");
    for (int id = 0; id < CONTACT_ID_COUNT; id++) {
        appendStringInfo(out, "%s\"%s\":", id > 0 ? "," : "", contact_ids[id].name);
        write_example(out, id_field(&contact_ids[id]));
    }
    appendStringInfoString(out, "}]}");
}

void
contact_schema_write(StringInfo out)
{
    const char *separator = "{";

    for (int use = IN_WHOLE; use <= IN_ANSWER; use++) {
        for (int group = 0; group < CONTACT_BODY_GROUPS; group++) {
            appendStringInfoString(out, separator);
            write_group(out, group, use);
            separator = ",";
        }
    }
    write_contact(out, "new_contact", "A contact to be created, or to replace another", IN_WHOLE);
    write_contact(out, "changed_contact", "What is to change of a contact; the rest stays",
                  IN_CHANGE);
    write_contact(out, "contact", "A contact", IN_ANSWER);
    write_identity(out);
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
