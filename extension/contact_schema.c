/*
 * contact_schema.c: JSON Schemas of contacts, in bodies and in answers, made from the table
 * of fields that bodies are checked by. The description of the REST API shows them.
 */
#include "compat.h"

#include "contact.h"
#include "json_text.h"

#include "fmgr.h"

/* What a group or field looks like depends on where it stands. */
typedef enum SchemaUse {
    IN_WHOLE,  /* POST and PUT */
    IN_CHANGE, /* PATCH */
    IN_ANSWER
} SchemaUse;

static const char *const use_names[] = {"new_", "changed_", ""};

/* As body_value.c reads booleans. */
#define FLAG_SCHEMA                                                                                \
    "\"flag\":{\"anyOf\":[{\"type\":\"boolean\"},{\"enum\":[0,1]},{\"type\":\"string\","           \
    "\"pattern\":\"^(?:[tT]|[fF]|[yY]|[nN]|[tT][rR][uU][eE]|[fF][aA][lL][sS][eE]|"                 \
    "[yY][eE][sS]|[nN][oO]|[oO][nN]|[oO][fF][fF]|1|0)$\"}]}"

static void
write_string(StringInfo out, const char *text)
{
    json_text_write(out, text, strlen(text));
}

/* ---- fields -------------------------------------------------------------------- */

static void
write_default(StringInfo out, const ContactField *field)
{
    if (field->kind == FIELD_BOOLEAN) {
        appendStringInfo(out, ",\"default\":%s", field->default_boolean ? "true" : "false");
    } else if (field->default_text != NULL) {
        appendStringInfoString(out, ",\"default\":");
        write_string(out, field->default_text);
    } else if (field->kind == FIELD_OBJECT) {
        appendStringInfoString(out, ",\"default\":{}");
    }
}

static void
write_limits(StringInfo out, const ContactField *field)
{
    if (field->min_chars > 0)
        appendStringInfo(out, ",\"minLength\":%d", field->min_chars);
    if (field->max_chars > 0)
        appendStringInfo(out, ",\"maxLength\":%d", field->max_chars);
}

static void
write_choices(StringInfo out, const ContactField *field)
{
    appendStringInfoString(out, "\"enum\":[");
    for (int i = 0; field->choices[i] != NULL; i++) {
        if (i > 0)
            appendStringInfoChar(out, ',');
        write_string(out, field->choices[i]);
    }
    appendStringInfoString(out, field->is_nullable ? ",null]" : "]");
}

/* The inside of the schema of a field that a body gives. */
static void
write_input_field(StringInfo out, const ContactField *field)
{
    const char *null = field->is_nullable ? ",\"null\"]" : "]";

    switch (field->kind) {
    case FIELD_TEXT:
        appendStringInfo(out, "\"type\":[\"string\",\"number\"%s", null);
        write_limits(out, field);
        break;
    case FIELD_URL:
        appendStringInfo(out, "\"type\":[\"string\"%s,\"format\":\"uri\"", null);
        write_limits(out, field);
        break;
    case FIELD_UUID:
        appendStringInfo(out, "\"type\":[\"string\"%s,\"format\":\"uuid\"", null);
        break;
    case FIELD_DATE:
        appendStringInfo(out, "\"type\":[\"string\"%s,\"format\":\"date\"", null);
        break;
    case FIELD_BOOLEAN:
        appendStringInfoString(out, "\"$ref\":\"#/components/schemas/flag\"");
        break;
    case FIELD_CHOICE: write_choices(out, field); break;
    case FIELD_OBJECT: appendStringInfoString(out, "\"type\":\"object\""); break;
    }
}

/* Answers show what is stored, even where it no longer fits a rule: types only. */
static void
write_answer_field(StringInfo out, const ContactField *field)
{
    switch (field->kind) {
    case FIELD_BOOLEAN: appendStringInfoString(out, "\"type\":\"boolean\""); break;
    case FIELD_DATE:
        appendStringInfoString(out, "\"type\":[\"string\",\"null\"],\"format\":\"date\"");
        break;
    case FIELD_OBJECT: appendStringInfoString(out, "\"type\":\"object\""); break;
    default:
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
    if (use == IN_ANSWER)
        write_answer_field(out, field);
    else
        write_input_field(out, field);
    if (use == IN_WHOLE)
        write_default(out, field);
    appendStringInfoChar(out, '}');
}

/* ---- groups ---------------------------------------------------------------------- */

/* Fields of a group that are not in the table of fields. */
static void
write_more_properties(StringInfo out, const ContactGroupSpec *spec, SchemaUse use)
{
    if (spec == &contact_groups[GROUP_EMAIL])
        appendStringInfoString(out, use == IN_ANSWER
                                        ? ",\"email_id\":{\"type\":\"string\",\"format\":\"uuid\"}"
                                        : ",\"email_id\":{\"type\":[\"string\",\"null\"],"
                                          "\"format\":\"uuid\"}");
    if (use == IN_ANSWER && spec->shows_timestamps)
        appendStringInfoString(
            out, ",\"create_timestamp\":{\"type\":[\"string\",\"null\"],\"format\":\"date-time\"}"
                 ",\"update_timestamp\":{\"type\":[\"string\",\"null\"],\"format\":\"date-time\"}");
}

static void
write_required(StringInfo out, const ContactGroupSpec *spec, SchemaUse use)
{
    bool is_list =
        spec == &contact_groups[GROUP_NEWSLETTERS] || spec == &contact_groups[GROUP_WAITLISTS];
    const char *separator = "";

    appendStringInfoString(out, "\"required\":[");
    for (int i = 0; i < spec->field_count; i++) {
        const ContactField *field = &spec->fields[i];

        /* An item of a list always needs its name. */
        if (use == IN_ANSWER || (field->is_required && (use == IN_WHOLE || is_list))) {
            appendStringInfoString(out, separator);
            write_string(out, field->name);
            separator = ",";
        }
    }
    if (use == IN_ANSWER && spec == &contact_groups[GROUP_EMAIL])
        appendStringInfoString(out, ",\"email_id\"");
    if (use == IN_ANSWER && spec->shows_timestamps)
        appendStringInfoString(out, ",\"create_timestamp\",\"update_timestamp\"");
    appendStringInfoString(out, "]");
}

/* "new_email": { … } */
static void
write_group(StringInfo out, const ContactGroupSpec *spec, SchemaUse use)
{
    appendStringInfo(out, "\"%s%s\":{\"type\":\"object\",", use_names[use], spec->name);
    write_required(out, spec, use);
    appendStringInfoString(out, ",\"properties\":{");
    for (int i = 0; i < spec->field_count; i++) {
        if (i > 0)
            appendStringInfoChar(out, ',');
        write_field(out, &spec->fields[i], use);
    }
    write_more_properties(out, spec, use);
    appendStringInfoString(out, "}}");
}

/* ---- contacts --------------------------------------------------------------------- */

/* What may stand for a group in a body: the group, and where allowed null or a word. */
static void
write_member(StringInfo out, ContactGroup group, SchemaUse use)
{
    bool is_list = group == GROUP_NEWSLETTERS || group == GROUP_WAITLISTS;
    bool is_legacy = group >= CONTACT_STORED_GROUPS;
    StringInfoData reference;

    initStringInfo(&reference);
    appendStringInfo(&reference, "{\"$ref\":\"#/components/schemas/%s%s\"}", use_names[use],
                     contact_groups[group].name);
    appendStringInfo(out, "\"%s\":", contact_groups[group].name);
    if (is_list) {
        StringInfoData list;

        initStringInfo(&list);
        appendStringInfo(&list, "{\"type\":\"array\",\"items\":%s}", reference.data);
        reference = list;
    }
    if (use == IN_ANSWER || group == GROUP_EMAIL || (is_list && use == IN_WHOLE))
        appendStringInfoString(out, reference.data);
    else if (is_legacy)
        appendStringInfo(out, "{\"anyOf\":[%s,{\"enum\":[\"DELETE\",null]}],\"deprecated\":true}",
                         reference.data);
    else if (use == IN_WHOLE)
        appendStringInfo(out, "{\"anyOf\":[%s,{\"type\":\"null\"}]}", reference.data);
    else
        appendStringInfo(out, "{\"anyOf\":[%s,{\"const\":\"%s\"}]}", reference.data,
                         is_list ? "UNSUBSCRIBE" : "DELETE");
}

static void
write_contact(StringInfo out, const char *name, SchemaUse use)
{
    appendStringInfo(out, ",\"%s\":{\"type\":\"object\",\"required\":[", name);
    for (int group = 0; use == IN_ANSWER && group < CONTACT_BODY_GROUPS; group++)
        appendStringInfo(out, "%s\"%s\"", group > 0 ? "," : "", contact_groups[group].name);
    appendStringInfoString(out,
                           use == IN_WHOLE ? "\"email\"],\"properties\":{" : "],\"properties\":{");
    for (int group = 0; group < CONTACT_BODY_GROUPS; group++) {
        if (group > 0)
            appendStringInfoChar(out, ',');
        write_member(out, group, use);
    }
    if (use == IN_ANSWER)
        appendStringInfoString(out, ",\"status\":{\"const\":\"ok\"}");
    appendStringInfoString(out, "}}");
}

PG_FUNCTION_INFO_V1(ctms_contact_schemas);

PGDLLEXPORT Datum
ctms_contact_schemas(PG_FUNCTION_ARGS)
{
    StringInfoData out;

    json_answer_begin(&out);
    appendStringInfoString(&out, "{" FLAG_SCHEMA);
    for (int use = IN_WHOLE; use <= IN_ANSWER; use++) {
        for (int group = 0; group < CONTACT_BODY_GROUPS; group++) {
            appendStringInfoChar(&out, ',');
            write_group(&out, &contact_groups[group], use);
        }
    }
    write_contact(&out, "new_contact", IN_WHOLE);
    write_contact(&out, "changed_contact", IN_CHANGE);
    write_contact(&out, "contact", IN_ANSWER);
    appendStringInfoChar(&out, '}');
    PG_RETURN_DATUM(json_answer_end(&out));
}
