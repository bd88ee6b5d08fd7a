/* http/uri.c: request targets: path segments, query parameters, percent-encoding; see uri.h. */
#include "rest/http/uri.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/hex.h"
#include "common/utf8.h"

void
uri_split(const char *target, const char **path, size_t *path_length, const char **query)
{
    const char *authority = NULL;

    if (strncasecmp(target, "http://", 7) == 0)
        authority = target + 7;
    else if (strncasecmp(target, "https://", 8) == 0)
        authority = target + 8;
    if (authority != NULL)
        target = authority + strcspn(authority, "/?");
    *path = target;
    *path_length = strcspn(target, "?#");
    *query = target[*path_length] == '?' ? target + *path_length + 1 : NULL;
    if (*path_length == 0) {
        *path = "/";
        *path_length = 1;
    }
}

uri_text
uri_decode(const char *text, size_t length, bool plus_is_blank)
{
    uri_text decoded = {.data = xmalloc(length + 1)};

    for (size_t i = 0; i < length; i++) {
        char c = text[i];

        if (c == '%' && i + 2 < length && hex_value(text[i + 1]) >= 0 &&
            hex_value(text[i + 2]) >= 0) {
            c = (char)(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
            i += 2;
        } else if (c == '+' && plus_is_blank) {
            c = ' ';
        }
        decoded.data[decoded.length++] = c;
    }
    decoded.data[decoded.length] = '\0';
    return decoded;
}

bool
uri_parse_query(const char *text, size_t length, uri_query *query)
{
    const char *end = text + length;

    query->count = 0;
    while (text < end) {
        const char *amp = memchr(text, '&', (size_t)(end - text));
        const char *pair_end = amp ? amp : end;
        const char *equals = memchr(text, '=', (size_t)(pair_end - text));
        const char *name_end = equals ? equals : pair_end;

        if (pair_end > text) {
            uri_parameter *parameter = &query->parameters[query->count];

            if (query->count == URI_PARAMETERS_MAX)
                return false;
            parameter->name = uri_decode(text, (size_t)(name_end - text), true);
            parameter->value = equals
                                   ? uri_decode(equals + 1, (size_t)(pair_end - equals - 1), true)
                                   : uri_decode("", 0, true);
            query->count++;
        }
        text = pair_end + 1;
    }
    return true;
}

void
uri_query_free(uri_query *query)
{
    for (size_t i = 0; i < query->count; i++) {
        free(query->parameters[i].name.data);
        free(query->parameters[i].value.data);
    }
    query->count = 0;
}

const uri_text *
uri_query_get(const uri_query *query, const char *name)
{
    for (size_t i = query->count; i > 0; i--) {
        const uri_parameter *parameter = &query->parameters[i - 1];

        if (parameter->name.length == strlen(name) && strcmp(parameter->name.data, name) == 0)
            return &parameter->value;
    }
    return NULL;
}

bool
uri_is_text(const uri_text *text)
{
    return utf8_is_text(text->data, text->length);
}

bool
uri_is_uuid(const char *text)
{
    bool has_braces = *text == '{';

    text += has_braces;
    for (int byte = 0; byte < 16; byte++) {
        if (hex_value(text[0]) < 0 || hex_value(text[1]) < 0)
            return false;
        text += 2;
        if (*text == '-' && byte % 2 == 1 && byte < 15)
            text++;
    }
    return strcmp(text, has_braces ? "}" : "") == 0;
}

void
uri_encode(buf *out, const char *text, size_t length)
{
    static const char digits[] = "0123456789ABCDEF";

    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];

        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            (c != '\0' && strchr("-._~", c) != NULL)) {
            buf_append_char(out, (char)c);
        } else {
            char encoded[3] = {'%', digits[c >> 4], digits[c & 15]};

            buf_append(out, encoded, 3);
        }
    }
}
