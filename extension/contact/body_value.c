/*
 * contact/body_value.c: what a body may give for a field, kind by kind. For each kind there is a
 * check and, next to it, the JSON Schema that describes it. The check decides; the schema is only
 * published. The schema asks for the one type that clients should send, so that those which are
 * generated from it have one; what is taken beside it is said in words (body_value_tolerance()).
 * Change all together: test/t/233_contact_schemas.pl and the fuzz target "contact" compare them.
 * Limits, choices and defaults are in the table (contact/fields.h), the forms of texts in
 * contact/body_form.c.
 *
 * docs/contacts.md lists the types of errors. They have the names that clients of older versions
 * know.
 */
#include "extension/base/compat.h"

#include "extension/base/iso_time.h"
#include "extension/contact/body_form.h"
#include "extension/contact/body_value.h"
#include "extension/json/text.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

static void
write_string(StringInfo out, const char *text)
{
    json_text_write(out, text, strlen(text));
}

static void
write_text_type(StringInfo out, const ContactField *field)
{
    appendStringInfoString(out, field->is_nullable ? "\"type\":[\"string\",\"null\"]"
                                                   : "\"type\":\"string\"");
}

/* A text of a form that JSON Schema has a name for. */
static void
write_format(StringInfo out, const ContactField *field, const char *format)
{
    write_text_type(out, field);
    appendStringInfo(out, ",\"format\":\"%s\"", format);
}

/* ---- length ---------------------------------------------------------------------- */

static bool
check_length(const ContactField *field, const char *bytes, int length, const BodyPlace *place,
             BodyErrors *errors)
{
    int chars = field->min_chars > 0 || (field->max_chars > 0 && length > field->max_chars)
                    ? pg_mbstrlen_with_len(bytes, length)
                    : 0;

    if (chars < field->min_chars) {
        body_error_add(errors, place, "value_error.any_str.min_length",
                       "ensure this value has at least %d characters", field->min_chars);
        return false;
    }
    if (field->max_chars > 0 && chars > field->max_chars) {
        body_error_add(errors, place, "value_error.any_str.max_length",
                       "ensure this value has at most %d characters", field->max_chars);
        return false;
    }
    return true;
}

static void
write_length(StringInfo out, const ContactField *field)
{
    if (field->min_chars > 0)
        appendStringInfo(out, ",\"minLength\":%d", field->min_chars);
    if (field->max_chars > 0)
        appendStringInfo(out, ",\"maxLength\":%d", field->max_chars);
}

/* ---- choices --------------------------------------------------------------------- */

static bool
check_choice(const ContactField *field, const char *bytes, int length, const BodyPlace *place,
             BodyErrors *errors)
{
    StringInfoData permitted;

    for (const char *const *choice = field->choices; *choice != NULL; choice++)
        if ((int)strlen(*choice) == length && memcmp(*choice, bytes, length) == 0)
            return true;
    initStringInfo(&permitted);
    for (int i = 0; field->choices[i] != NULL; i++)
        appendStringInfo(&permitted, "%s'%s'", i > 0 ? ", " : "", field->choices[i]);
    body_error_add(errors, place, "value_error.const", "unexpected value; permitted: %s",
                   permitted.data);
    return false;
}

static void
write_choices(StringInfo out, const ContactField *field)
{
    write_text_type(out, field);
    appendStringInfoString(out, ",\"enum\":[");
    for (int i = 0; field->choices[i] != NULL; i++) {
        if (i > 0)
            appendStringInfoChar(out, ',');
        write_string(out, field->choices[i]);
    }
    appendStringInfoString(out, field->is_nullable ? ",null]" : "]");
}

/* ---- flags ----------------------------------------------------------------------- */

static bool
read_flag(const JsonbValue *json, const BodyPlace *place, BodyErrors *errors, Datum *value)
{
    bool flag = false;
    bool is_valid = false;

    if (json->type == jbvBool) {
        flag = json->val.boolean;
        is_valid = true;
    } else if (json->type == jbvString) {
        is_valid = body_form_read_flag(json->val.string.val, json->val.string.len, &flag);
    }
    if (!is_valid)
        body_error_add(errors, place, "type_error.bool", "value could not be parsed to a boolean");
    *value = BoolGetDatum(flag);
    return is_valid;
}

/* ---- UUIDs and dates --------------------------------------------------------------- */

static bool
read_uuid(const JsonbValue *json, const BodyPlace *place, BodyErrors *errors, Datum *value)
{
    pg_uuid_t uuid;

    if (json->type != jbvString ||
        !body_form_read_uuid(json->val.string.val, json->val.string.len, &uuid)) {
        body_error_add(errors, place, "type_error.uuid", "value is not a valid uuid");
        return false;
    }
    *value = PointerGetDatum(body_form_uuid_text(&uuid));
    return true;
}

static bool
read_date(const JsonbValue *json, const BodyPlace *place, BodyErrors *errors, Datum *value)
{
    DateADT date;

    if (json->type != jbvString) {
        body_error_add(errors, place, "type_error.date", "value is not a valid date");
        return false;
    }
    if (!iso_date_read(json->val.string.val, json->val.string.len, &date)) {
        body_error_add(errors, place, "value_error.date", "invalid date format");
        return false;
    }
    *value = DateADTGetDatum(date);
    return true;
}

/* ---- texts and objects ------------------------------------------------------------- */

static bool
read_text(const ContactField *field, const JsonbValue *json, const BodyPlace *place,
          BodyErrors *errors, Datum *value)
{
    const char *bytes;
    int length;

    if (json->type != jbvString) {
        body_error_add(errors, place, "type_error.str", "str type expected");
        return false;
    }
    bytes = json->val.string.val;
    length = json->val.string.len;
    if (field->kind == FIELD_URL)
        body_form_strip_url(&bytes, &length);
    if (!check_length(field, bytes, length, place, errors))
        return false;
    if (field->kind == FIELD_CHOICE && !check_choice(field, bytes, length, place, errors))
        return false;
    if (field->kind == FIELD_URL && !body_form_check_url(bytes, length, place, errors))
        return false;
    *value = PointerGetDatum(cstring_to_text_with_len(bytes, length));
    return true;
}

bool
body_value_is_object(JsonbValue *json, const BodyPlace *place, BodyErrors *errors)
{
    if (json->type == jbvBinary && JsonContainerIsObject(json->val.binary.data))
        return true;
    body_error_add(errors, place, "type_error.dict", "value is not a valid dict");
    return false;
}

static bool
read_object(JsonbValue *json, const BodyPlace *place, BodyErrors *errors, Datum *value)
{
    if (!body_value_is_object(json, place, errors))
        return false;
    *value = JsonbPGetDatum(JsonbValueToJsonb(json));
    return true;
}

/* ---- all kinds --------------------------------------------------------------------- */

bool
body_value_takes_numbers(const ContactField *field)
{
    switch (field->kind) {
    case FIELD_TEXT:
    case FIELD_BOOLEAN:
    case FIELD_CHOICE:
    case FIELD_URL: return true;
    case FIELD_DATE:
    case FIELD_UUID:
    case FIELD_OBJECT: return false;
    }
    pg_unreachable();
}

static JsonbValue
text_of_number(const JsonbValue *json)
{
    JsonbValue text = {.type = jbvString};

    text.val.string.val =
        DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(json->val.numeric)));
    text.val.string.len = strlen(text.val.string.val);
    return text;
}

bool
body_value_read(const ContactField *field, JsonbValue *json, const BodyPlace *place,
                BodyErrors *errors, Datum *value, bool *is_null)
{
    JsonbValue text;

    *is_null = json->type == jbvNull;
    if (*is_null) {
        *value = (Datum)0;
        if (!field->is_nullable)
            body_error_add_null(errors, place);
        return field->is_nullable;
    }
    if (json->type == jbvNumeric && body_value_takes_numbers(field)) {
        text = text_of_number(json);
        json = &text;
    }
    switch (field->kind) {
    case FIELD_BOOLEAN: return read_flag(json, place, errors, value);
    case FIELD_DATE: return read_date(json, place, errors, value);
    case FIELD_UUID: return read_uuid(json, place, errors, value);
    case FIELD_OBJECT: return read_object(json, place, errors, value);
    case FIELD_TEXT:
    case FIELD_CHOICE:
    case FIELD_URL: return read_text(field, json, place, errors, value);
    }
    pg_unreachable();
}

void
body_value_publish(StringInfo out, const ContactField *field)
{
    switch (field->kind) {
    case FIELD_TEXT:
        write_text_type(out, field);
        write_length(out, field);
        break;
    case FIELD_URL:
        write_format(out, field, "uri");
        appendStringInfo(out, ",\"maxLength\":%d", field->max_chars);
        break;
    case FIELD_UUID: write_format(out, field, "uuid"); break;
    case FIELD_DATE: write_format(out, field, "date"); break;
    case FIELD_BOOLEAN: appendStringInfoString(out, "\"type\":\"boolean\""); break;
    case FIELD_CHOICE: write_choices(out, field); break;
    case FIELD_OBJECT:
        appendStringInfoString(out, "\"type\":\"object\",\"additionalProperties\":true");
        break;
    }
}

const char *
body_value_tolerance(const ContactField *field)
{
    switch (field->kind) {
    case FIELD_TEXT: return "A number is taken as its text";
    case FIELD_BOOLEAN:
        return "Also taken: 0 and 1, and the texts true, false, yes, no, on, off, t, f, y, n, "
               "1 and 0 in any case";
    case FIELD_UUID:
        return "Also taken: in capitals, in braces, and without hyphens or with others between "
               "groups of four digits";
    case FIELD_URL: return "Spaces around it are dropped";
    case FIELD_DATE:
    case FIELD_CHOICE:
    case FIELD_OBJECT: return NULL;
    }
    pg_unreachable();
}
