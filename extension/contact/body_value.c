/*
 * contact/body_value.c: what a field takes in a body, kind by kind: the check and, beside it,
 * the JSON Schema that tells others of it. The check is what decides; the schema is only
 * shown. Change one with the other: test/t/233_contact_schemas.pl and the fuzz target
 * "contact" compare them. Limits, choices and defaults are in the table (contact/fields.h).
 *
 * docs/contacts.md lists the types of errors; their names are those that clients of older
 * versions know.
 */
#include "extension/base/compat.h"

#include "extension/base/hex.h"
#include "extension/base/iso_time.h"
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

/* "type": ["string", …]; `others` begins with a comma. */
static void
write_type(StringInfo out, const ContactField *field, const char *others)
{
    appendStringInfo(out, "\"type\":[\"string\"%s%s]", others,
                     field->is_nullable ? ",\"null\"" : "");
}

/* Texts of a form: a name for readers, and what exactly is accepted. */
static void
write_form(StringInfo out, const ContactField *field, const char *format, const char *pattern)
{
    write_type(out, field, "");
    appendStringInfo(out, ",\"format\":\"%s\",\"pattern\":", format);
    write_string(out, pattern);
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
    appendStringInfoString(out, "\"enum\":[");
    for (int i = 0; field->choices[i] != NULL; i++) {
        if (i > 0)
            appendStringInfoChar(out, ',');
        write_string(out, field->choices[i]);
    }
    appendStringInfoString(out, field->is_nullable ? ",null]" : "]");
}

/* ---- flags ----------------------------------------------------------------------- */

static const struct {
    const char *word;
    bool value;
} flag_words[] = {{"t", true},   {"y", true},      {"1", true},   {"true", true},
                  {"yes", true}, {"on", true},     {"f", false},  {"n", false},
                  {"0", false},  {"false", false}, {"no", false}, {"off", false}};

bool
body_value_read_flag(const char *input, int length, bool *value)
{
    for (size_t i = 0; i < lengthof(flag_words); i++)
        if ((int)strlen(flag_words[i].word) == length &&
            pg_strncasecmp(input, flag_words[i].word, length) == 0) {
            *value = flag_words[i].value;
            return true;
        }
    return false;
}

static bool
read_flag(const JsonbValue *json, const BodyPlace *place, BodyErrors *errors, Datum *value)
{
    bool flag = false;
    bool is_valid = false;

    if (json->type == jbvBool) {
        flag = json->val.boolean;
        is_valid = true;
    } else if (json->type == jbvString) {
        is_valid = body_value_read_flag(json->val.string.val, json->val.string.len, &flag);
    }
    if (!is_valid)
        body_error_add(errors, place, "type_error.bool", "value could not be parsed to a boolean");
    *value = BoolGetDatum(flag);
    return is_valid;
}

/* "[oO][nN]|…" */
static void
write_words(StringInfo out, bool value)
{
    const char *separator = "";

    for (size_t i = 0; i < lengthof(flag_words); i++) {
        if (flag_words[i].value != value)
            continue;
        appendStringInfoString(out, separator);
        separator = "|";
        for (const char *at = flag_words[i].word; *at != '\0'; at++)
            appendStringInfo(out, isalpha((unsigned char)*at) ? "[%c%c]" : "%c", *at,
                             pg_toupper((unsigned char)*at));
    }
}

const char *
body_value_flag_pattern(bool value)
{
    StringInfoData pattern;

    initStringInfo(&pattern);
    appendStringInfoString(&pattern, "^(?:");
    write_words(&pattern, value);
    appendStringInfoString(&pattern, ")$");
    return pattern.data;
}

void
body_value_publish_flag(StringInfo out)
{
    appendStringInfoString(out, "{\"anyOf\":[{\"type\":\"boolean\"},{\"enum\":[0,1]},"
                                "{\"type\":\"string\",\"pattern\":\"^(?:");
    write_words(out, true);
    appendStringInfoChar(out, '|');
    write_words(out, false);
    appendStringInfoString(out, ")$\"}]}");
}

/* ---- UUIDs ----------------------------------------------------------------------- */

/* As uuid_in(): optional braces, an optional hyphen after every fourth digit. */
bool
body_value_read_uuid(const char *input, int length, pg_uuid_t *uuid)
{
    const char *at = input;
    const char *end = input + length;

    if (length >= 2 && at[0] == '{' && end[-1] == '}') {
        at++;
        end--;
    }
    for (int i = 0; i < UUID_LEN; i++) {
        int high, low;

        if (end - at < 2)
            return false;
        high = hex_value(at[0]);
        low = hex_value(at[1]);
        if (high < 0 || low < 0)
            return false;
        uuid->data[i] = (unsigned char)(high << 4 | low);
        at += 2;
        if (i % 2 == 1 && i < UUID_LEN - 1 && at < end && *at == '-')
            at++;
    }
    return at == end;
}

bool
body_value_is_uuid_4(const pg_uuid_t *uuid)
{
    return uuid->data[6] >> 4 == 4 && uuid->data[8] >> 6 == 2;
}

text *
body_value_uuid_text(const pg_uuid_t *uuid)
{
    StringInfoData quoted;

    initStringInfo(&quoted);
    json_text_write_uuid(&quoted, uuid);
    return cstring_to_text_with_len(quoted.data + 1, quoted.len - 2);
}

static bool
read_uuid(const JsonbValue *json, const BodyPlace *place, BodyErrors *errors, Datum *value)
{
    pg_uuid_t uuid;

    if (json->type != jbvString ||
        !body_value_read_uuid(json->val.string.val, json->val.string.len, &uuid)) {
        body_error_add(errors, place, "type_error.uuid", "value is not a valid uuid");
        return false;
    }
    *value = PointerGetDatum(body_value_uuid_text(&uuid));
    return true;
}

#define UUID_DIGITS "(?:[0-9a-fA-F]{4}-?){7}[0-9a-fA-F]{4}"
#define UUID_PATTERN "^" UUID_DIGITS "$|^\\{" UUID_DIGITS "\\}$"

/* ---- dates ----------------------------------------------------------------------- */

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

/* The days of the calendar from 0001-01-01 on. */
#define LEAP_CENTURY "(?:[02468][048]|[13579][26])00"
#define LEAP_YEAR "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|" LEAP_CENTURY ")"
#define DATE_PATTERN                                                                               \
    "^(?!0000)(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|"                       \
    "(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))|" LEAP_YEAR "-02-29)$"

/* ---- URLs ------------------------------------------------------------------------- */

/* What follows "://" up to the path: a host, with anything before "@" and a port after. */
static bool
is_authority(const char *bytes, int length)
{
    const char *end = bytes + length;
    const char *host = bytes;
    const char *port;

    for (const char *at = bytes; at < end; at++)
        if (*at == '@')
            host = at + 1;
    if (host < end && *host == '[') {
        port = memchr(host, ']', end - host);
        if (port == NULL || port == host + 1)
            return false;
        port++;
    } else {
        port = memchr(host, ':', end - host);
        if (port == NULL)
            port = end;
        if (port == host)
            return false;
    }
    if (port == end)
        return true;
    if (*port != ':' || end - port > 6)
        return false;
    for (port++; port < end; port++)
        if (*port < '0' || *port > '9')
            return false;
    return true;
}

static bool
is_scheme_character(char c, bool is_first)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return true;
    return !is_first && ((c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.');
}

static bool
check_url(const char *bytes, int length, const BodyPlace *place, BodyErrors *errors)
{
    int scheme = 0;
    int authority;

    while (scheme < length && is_scheme_character(bytes[scheme], scheme == 0))
        scheme++;
    if (scheme == 0 || length - scheme < 3 || memcmp(bytes + scheme, "://", 3) != 0) {
        body_error_add(errors, place, "value_error.url.scheme", "invalid or missing URL scheme");
        return false;
    }
    authority = scheme + 3;
    while (authority < length && strchr("/?#", bytes[authority]) == NULL)
        authority++;
    if (!is_authority(bytes + scheme + 3, authority - scheme - 3)) {
        body_error_add(errors, place, "value_error.url.host", "invalid or missing URL host");
        return false;
    }
    for (int i = 0; i < length; i++)
        if ((unsigned char)bytes[i] <= 0x20 || bytes[i] == 0x7f) {
            body_error_add(errors, place, "value_error.url.extra",
                           "whitespace or control character in URL");
            return false;
        }
    return true;
}

static bool
is_outer_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Spaces around a URL do not count. */
static void
strip_spaces(const char **bytes, int *length)
{
    for (; *length > 0 && is_outer_space((*bytes)[*length - 1]); (*length)--)
        ;
    for (; *length > 0 && is_outer_space((*bytes)[0]); (*length)--)
        (*bytes)++;
}

/* A scheme, "://", anything up to "@", a host, a port; no space or control character
 * anywhere but around the whole. */
#define URL_SPACES "[\\t-\\r ]*"
#define URL_CHAR(others) "[^\\x00-\\x20\\x7F" others "]"
#define URL_HOST "(?:\\[" URL_CHAR("/?#@\\]") "+\\]|" URL_CHAR("/?#@:\\[") URL_CHAR("/?#@:") "*)"
#define URL_PATTERN                                                                                \
    "^" URL_SPACES "[a-zA-Z][a-zA-Z0-9+.\\-]*:\\/\\/(?:" URL_CHAR(                                 \
        "/?#") "*@)?" URL_HOST "(?::[0-9]{0,5})?(?:[/?#]" URL_CHAR("") "*)?" URL_SPACES "$"

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
        strip_spaces(&bytes, &length);
    if (!check_length(field, bytes, length, place, errors))
        return false;
    if (field->kind == FIELD_CHOICE && !check_choice(field, bytes, length, place, errors))
        return false;
    if (field->kind == FIELD_URL && !check_url(bytes, length, place, errors))
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
        write_type(out, field, ",\"number\"");
        write_length(out, field);
        break;
    case FIELD_URL:
        write_form(out, field, "uri", URL_PATTERN);
        write_length(out, field);
        break;
    case FIELD_UUID: write_form(out, field, "uuid", UUID_PATTERN); break;
    case FIELD_DATE: write_form(out, field, "date", DATE_PATTERN); break;
    case FIELD_BOOLEAN:
        appendStringInfoString(out, "\"$ref\":\"#/components/schemas/flag\"");
        break;
    case FIELD_CHOICE: write_choices(out, field); break;
    case FIELD_OBJECT: appendStringInfoString(out, "\"type\":\"object\""); break;
    }
}
