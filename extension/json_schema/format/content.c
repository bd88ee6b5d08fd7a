/*
 * json_schema/format/content.c: "contentEncoding" and "contentMediaType", if the options ask to
 * assert them: base64 (RFC 4648) and JSON documents, plain or in base64. Any other encoding or
 * media type passes.
 */
#include "extension/base/compat.h"

#include "common/jsonapi.h"
#include "mb/pg_wchar.h"

#include "extension/json_schema/format/format.h"

static int
base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/*
 * Decodes into "out" unless that is NULL. Returns the number of bytes, or -1 when it is not
 * base64.
 */
static int64
decode_base64(const char *text, uint32 length, char *out)
{
    uint32 digits = length;
    uint32 bits = 0;
    int64 n = 0;

    while (digits > 0 && length - digits < 2 && text[digits - 1] == '=')
        digits--;
    if (length % 4 != 0)
        return -1;
    for (uint32 i = 0; i < digits; i++) {
        int digit = base64_digit(text[i]);

        if (digit < 0)
            return -1;
        bits = (bits << 6) | (uint32)digit;
        if (i % 4 == 0)
            continue;
        if (out)
            out[n] = (char)(bits >> (6 - 2 * (i % 4)));
        n++;
    }
    return n;
}

static bool
is_base64(const char *text, uint32 length)
{
    return decode_base64(text, length, NULL) >= 0;
}

static bool
is_json(const char *text, uint32 length)
{
    JsonLexContext *lexer;

    if (length > PG_INT32_MAX || !pg_verify_mbstr(PG_UTF8, text, (int)length, true))
        return false;
    lexer = json_utf8_lexer((char *)text, (int)length);
    return pg_parse_json(lexer, &nullSemAction) == JSON_SUCCESS;
}

static bool
is_base64_json(const char *text, uint32 length)
{
    char *decoded;
    int64 n;
    bool holds;

    if (!is_base64(text, length))
        return false;
    decoded = palloc(length + 1);
    n = decode_base64(text, length, decoded);
    holds = is_json(decoded, (uint32)n);
    pfree(decoded);
    return holds;
}

const JsonSchemaFormat *
content_find(JsonValue schema, const char *keyword)
{
    static const JsonSchemaFormat base64 = {"base64", is_base64};
    static const JsonSchemaFormat json = {"application/json", is_json};
    static const JsonSchemaFormat base64_json = {"application/json", is_base64_json};
    JsonValue encoding;
    JsonValue type;
    bool is_encoded = json_object_get(schema, "contentEncoding", 15, &encoding);
    bool is_base64_encoded =
        is_encoded && encoding.kind == JSON_STRING && json_string_equals(encoding, base64.name);

    if (strcmp(keyword, "contentEncoding") == 0)
        return is_base64_encoded ? &base64 : NULL;
    if (strcmp(keyword, "contentMediaType") != 0 ||
        !json_object_get(schema, "contentMediaType", 16, &type) || type.kind != JSON_STRING ||
        !json_string_equals(type, json.name))
        return NULL;
    if (is_encoded)
        return is_base64_encoded ? &base64_json : NULL;
    return &json;
}
