/*
 * contact/schema.c: JSON Schemas of contacts, in bodies and in answers, made from the table
 * of fields. Bodies are judged by them, and the description of the REST API shows them.
 *
 * A body is judged after its numbers have become text (contact/coerce.h). Before that, a
 * schema allows a number where its text would be too long, and nothing else that is refused
 * but for three rules that no schema can tell: the same name twice in a list, what the
 * schema of a waitlist demands, and what ids have to do with what is stored.
 */
#include "extension/base/compat.h"

#include "extension/contact/schema.h"
#include "extension/json/text.h"

#include "fmgr.h"

/* What a group or field looks like depends on where it stands. */
typedef enum SchemaUse {
    IN_WHOLE,  /* POST and PUT */
    IN_CHANGE, /* PATCH */
    IN_ANSWER
} SchemaUse;

static const char *const use_names[] = {"new_", "changed_", ""};

/* As contact/body_value.c reads booleans. */
#define TRUE_WORDS "[tT]|[yY]|1|[tT][rR][uU][eE]|[yY][eE][sS]|[oO][nN]"
#define FALSE_WORDS "[fF]|[nN]|0|[fF][aA][lL][sS][eE]|[nN][oO]|[oO][fF][fF]"
#define FLAG_SCHEMA                                                                                \
    "\"flag\":{\"anyOf\":[{\"type\":\"boolean\"},{\"enum\":[0,1]},{\"type\":\"string\","           \
    "\"pattern\":\"^(?:" TRUE_WORDS "|" FALSE_WORDS ")$\"}]}"

/* Every form of a UUID that PostgreSQL reads. */
#define UUID_DIGITS "(?:[0-9a-fA-F]{4}-?){7}[0-9a-fA-F]{4}"
#define UUID_PATTERN "^" UUID_DIGITS "$|^\\{" UUID_DIGITS "\\}$"

/* The days of the calendar from 0001-01-01 on. */
#define LEAP_CENTURY "(?:[02468][048]|[13579][26])00"
#define LEAP_YEAR "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|" LEAP_CENTURY ")"
#define DATE_PATTERN                                                                               \
    "^(?!0000)(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|"                       \
    "(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))|" LEAP_YEAR "-02-29)$"

/* A scheme, "://", anything up to "@", a host, a port; no space or control character
 * anywhere but around the whole. */
#define URL_CHAR(others) "[^\\x00-\\x20\\x7F" others "]"
#define URL_HOST "(?:\\[" URL_CHAR("/?#@\\]") "+\\]|" URL_CHAR("/?#@:\\[") URL_CHAR("/?#@:") "*)"
#define URL_PATTERN                                                                                \
    "^[\\t-\\r ]*[a-zA-Z][a-zA-Z0-9+.\\-]*:\\/\\/(?:" URL_CHAR(                                    \
        "/?#") "*@)?" URL_HOST "(?::[0-9]{0,5})?(?:[/?#]" URL_CHAR("") "*)?[\\t-\\r ]*$"

/* More than anybody subscribes to; contact/body.c says so too. */
#define LIST_LIMIT "\"maxItems\":1000"

/* A relay newsletter that is subscribed needs a country, of either waitlist member. */
#define RELAY_RULE                                                                                 \
    "\"if\":{\"required\":[\"newsletters\"],\"properties\":{\"newsletters\":{\"type\":\"array\","  \
    "\"contains\":{\"type\":\"object\",\"required\":[\"name\"],\"properties\":{"                   \
    "\"name\":{\"type\":\"string\",\"pattern\":\"^relay-\"},\"subscribed\":{\"not\":{\"anyOf\":["  \
    "{\"enum\":[false,0]},{\"type\":\"string\",\"pattern\":\"^(?:" FALSE_WORDS ")$\"}]}}}}}}},"    \
    "\"then\":{\"anyOf\":[{\"required\":[\"relay_waitlist\"],\"properties\":{"                     \
    "\"relay_waitlist\":{\"type\":\"object\",\"required\":[\"geo\"],\"properties\":{\"geo\":{"     \
    "\"type\":[\"string\",\"number\"],\"minLength\":1}}}}},{\"required\":[\"waitlists\"],"         \
    "\"properties\":{\"waitlists\":{\"type\":\"array\",\"contains\":{\"type\":\"object\","         \
    "\"required\":[\"name\",\"fields\"],\"properties\":{\"name\":{\"const\":\"relay\"},"           \
    "\"fields\":{\"type\":\"object\",\"required\":[\"geo\"],\"properties\":{\"geo\":{\"not\":{"    \
    "\"enum\":[\"\",null]}}}}}}}}}]}"

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

/* Texts of a form: a name for readers, and what exactly is accepted. */
static void
write_form(StringInfo out, const ContactField *field, const char *format, const char *pattern)
{
    appendStringInfo(out, "\"type\":[\"string\"%s,\"format\":\"%s\",\"pattern\":",
                     field->is_nullable ? ",\"null\"]" : "]", format);
    write_string(out, pattern);
    write_limits(out, field);
}

/* The inside of the schema of a field that a body gives. */
static void
write_input_field(StringInfo out, const ContactField *field)
{
    switch (field->kind) {
    case FIELD_TEXT:
        appendStringInfo(out, "\"type\":[\"string\",\"number\"%s",
                         field->is_nullable ? ",\"null\"]" : "]");
        write_limits(out, field);
        break;
    case FIELD_URL: write_form(out, field, "uri", URL_PATTERN); break;
    case FIELD_UUID: write_form(out, field, "uuid", UUID_PATTERN); break;
    case FIELD_DATE: write_form(out, field, "date", DATE_PATTERN); break;
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
    static const ContactField email_id = {
        .name = "email_id", .kind = FIELD_UUID, .is_nullable = true};

    if (spec == &contact_groups[GROUP_EMAIL] && use == IN_ANSWER) {
        appendStringInfoString(out, ",\"email_id\":{\"type\":\"string\",\"format\":\"uuid\"}");
    } else if (spec == &contact_groups[GROUP_EMAIL]) {
        appendStringInfoChar(out, ',');
        write_field(out, &email_id, IN_CHANGE);
    }
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
        appendStringInfo(&list, "{\"type\":\"array\",\"items\":%s%s}", reference.data,
                         use == IN_ANSWER ? "" : "," LIST_LIMIT);
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
    appendStringInfoString(out, use == IN_ANSWER ? "}}" : "}," RELAY_RULE "}");
}

void
contact_schema_write(StringInfo out)
{
    appendStringInfoString(out, "{" FLAG_SCHEMA);
    for (int use = IN_WHOLE; use <= IN_ANSWER; use++) {
        for (int group = 0; group < CONTACT_BODY_GROUPS; group++) {
            appendStringInfoChar(out, ',');
            write_group(out, &contact_groups[group], use);
        }
    }
    write_contact(out, "new_contact", IN_WHOLE);
    write_contact(out, "changed_contact", IN_CHANGE);
    write_contact(out, "contact", IN_ANSWER);
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
