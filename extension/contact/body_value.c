/*
 * contact/body_value.c: conversion and limits of single values, coerced before
 * (contact/coerce.h). docs/contacts.md lists the error
 * types; their names are those that clients of older versions know.
 */
#include "extension/base/compat.h"

#include "extension/base/iso_time.h"
#include "extension/contact/body_value.h"
#include "extension/json/text.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

void
body_error_null(BodyErrors *errors, const BodyPlace *place)
{
    body_error_add(errors, place, "type_error.none.not_allowed", "none is not an allowed value");
}

void
body_error_missing(BodyErrors *errors, const BodyPlace *place)
{
    body_error_add(errors, place, "value_error.missing", "field required");
}

bool
body_value_is_object(JsonbValue *json, const BodyPlace *place, BodyErrors *errors)
{
    if (json->type == jbvBinary && JsonContainerIsObject(json->val.binary.data))
        return true;
    body_error_add(errors, place, "type_error.dict", "value is not a valid dict");
    return false;
}

/* ---- words and UUIDs ----------------------------------------------------------- */

bool
boolean_word_read(const char *input, int length, bool *value)
{
    static const struct {
        const char *word;
        bool value;
    } words[] = {{"true", true}, {"false", false}, {"t", true}, {"f", false},
                 {"yes", true},  {"no", false},    {"y", true}, {"n", false},
                 {"on", true},   {"off", false},   {"1", true}, {"0", false}};

    for (size_t i = 0; i < lengthof(words); i++)
        if ((int)strlen(words[i].word) == length &&
            pg_strncasecmp(input, words[i].word, length) == 0) {
            *value = words[i].value;
            return true;
        }
    return false;
}

static int
hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* As uuid_in(): optional braces, an optional hyphen after every fourth digit. */
bool
uuid_read(const char *input, int length, pg_uuid_t *uuid)
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
uuid_is_version_4(const pg_uuid_t *uuid)
{
    return uuid->data[6] >> 4 == 4 && uuid->data[8] >> 6 == 2;
}

/* ---- kinds ------------------------------------------------------------------- */

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

static bool
check_choice(const ContactField *field, const char *bytes, int length, const BodyPlace *place,
             BodyErrors *errors)
{
    for (const char *const *choice = field->choices; *choice != NULL; choice++)
        if ((int)strlen(*choice) == length && memcmp(*choice, bytes, length) == 0)
            return true;
    body_error_add(errors, place, "value_error.const", "unexpected value; permitted: %s",
                   field->choices_message);
    return false;
}

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
read_uuid_text(const char *bytes, int length, const BodyPlace *place, BodyErrors *errors,
               Datum *value)
{
    pg_uuid_t uuid;
    StringInfoData canonical;

    if (!uuid_read(bytes, length, &uuid)) {
        body_error_add(errors, place, "type_error.uuid", "value is not a valid uuid");
        return false;
    }
    initStringInfo(&canonical);
    json_text_write_uuid(&canonical, &uuid);
    *value = PointerGetDatum(cstring_to_text_with_len(canonical.data + 1, canonical.len - 2));
    return true;
}

static bool
read_boolean(JsonbValue *json, const BodyPlace *place, BodyErrors *errors, Datum *value)
{
    bool flag = false;
    bool is_valid = false;

    if (json->type == jbvBool) {
        flag = json->val.boolean;
        is_valid = true;
    } else if (json->type == jbvString) {
        is_valid = boolean_word_read(json->val.string.val, json->val.string.len, &flag);
    }
    if (!is_valid)
        body_error_add(errors, place, "type_error.bool", "value could not be parsed to a boolean");
    *value = BoolGetDatum(flag);
    return is_valid;
}

static bool
read_date(JsonbValue *json, const BodyPlace *place, BodyErrors *errors, Datum *value)
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

static bool
read_text(const ContactField *field, JsonbValue *json, const BodyPlace *place, BodyErrors *errors,
          Datum *value)
{
    const char *bytes;
    int length;

    if (json->type != jbvString && field->kind == FIELD_UUID) {
        body_error_add(errors, place, "type_error.uuid", "value is not a valid uuid");
        return false;
    }
    if (json->type != jbvString) {
        body_error_add(errors, place, "type_error.str", "str type expected");
        return false;
    }
    bytes = json->val.string.val;
    length = json->val.string.len;
    if (field->kind == FIELD_UUID)
        return read_uuid_text(bytes, length, place, errors, value);
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
body_value_read(const ContactField *field, JsonbValue *json, const BodyPlace *place,
                BodyErrors *errors, Datum *value, bool *is_null)
{
    *is_null = json->type == jbvNull;
    if (*is_null) {
        *value = (Datum)0;
        if (!field->is_nullable)
            body_error_null(errors, place);
        return field->is_nullable;
    }
    switch (field->kind) {
    case FIELD_BOOLEAN: return read_boolean(json, place, errors, value);
    case FIELD_DATE: return read_date(json, place, errors, value);
    case FIELD_OBJECT:
        if (!body_value_is_object(json, place, errors))
            return false;
        *value = JsonbPGetDatum(JsonbValueToJsonb(json));
        return true;
    default: return read_text(field, json, place, errors, value);
    }
}
