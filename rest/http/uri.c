/* http/uri.c: request targets: hosts, paths, query parameters, percent-encoding; see uri.h. */
#include "rest/http/uri.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/hex.h"
#include "common/utf8.h"

static bool
is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-._~", c) != NULL);
}

/* True if text, of which length characters are left, begins with "%" and two digits. */
static bool
is_encoded(const char *text, size_t length)
{
    return length >= 3 && text[0] == '%' && hex_value(text[1]) >= 0 && hex_value(text[2]) >= 0;
}

static char
decoded_char(const char *encoded)
{
    return (char)(hex_value(encoded[1]) * 16 + hex_value(encoded[2]));
}

/* ---- hosts ------------------------------------------------------------------- */

/* A name, or an IPv4 address, which is one too: RFC 3986 3.2.2. */
static bool
is_registered_name(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (is_encoded(text + i, length - i))
            i += 2;
        else if (!is_unreserved(text[i]) &&
                 (text[i] == '\0' || strchr("!$&'()*+,;=", text[i]) == NULL))
            return false;
    }
    return length > 0;
}

/* What is between brackets: an IPv6 address. There are no others yet. */
static bool
is_address(const char *text, size_t length)
{
    char address[INET6_ADDRSTRLEN];
    struct in6_addr parsed;

    if (length >= sizeof(address))
        return false;
    memcpy(address, text, length);
    address[length] = '\0';
    return strlen(address) == length && inet_pton(AF_INET6, address, &parsed) == 1;
}

/* True for nothing, and for ":" with or without a port. */
static bool
is_port(const char *text, size_t length)
{
    long port = 0;

    if (length > 0 && text[0] != ':')
        return false;
    for (size_t i = 1; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        port = port * 10 + (text[i] - '0');
        if (port > UINT16_MAX)
            return false;
    }
    return true;
}

bool
uri_is_host(const char *text, size_t length)
{
    const char *end;

    if (length > 0 && text[0] == '[') {
        end = memchr(text, ']', length);
        return end != NULL && is_address(text + 1, (size_t)(end - text) - 1) &&
               is_port(end + 1, length - (size_t)(end + 1 - text));
    }
    end = memchr(text, ':', length);
    if (end == NULL)
        end = text + length;
    return is_registered_name(text, (size_t)(end - text)) &&
           is_port(end, length - (size_t)(end - text));
}

/* ---- targets ----------------------------------------------------------------- */

/* Where the authority begins in a target that has one, otherwise NULL. */
static const char *
find_authority(const char *target)
{
    if (strncasecmp(target, "http://", 7) == 0)
        return target + 7;
    if (strncasecmp(target, "https://", 8) == 0)
        return target + 8;
    return NULL;
}

static const char *
check_authority(const char *authority)
{
    size_t length = strcspn(authority, "/?");

    if (memchr(authority, '@', length) != NULL)
        return "user information in the request target";
    if (length == 0 || authority[0] == ':')
        return "no host in the request target";
    if (!uri_is_host(authority, length))
        return "no valid host in the request target";
    return NULL;
}

/* True if a host ends with a port. */
static bool
has_port(const char *host)
{
    const char *colon = strrchr(host, ':');

    return colon != NULL && colon[1] != '\0' &&
           strspn(colon + 1, "0123456789") == strlen(colon + 1);
}

const char *
uri_check_target(const char *method, const char *target)
{
    const char *authority = find_authority(target);

    if (strchr(target, '#') != NULL)
        return "a fragment in the request target";
    if (strcmp(method, "CONNECT") == 0)
        return uri_is_host(target, strlen(target)) && has_port(target)
                   ? NULL
                   : "CONNECT takes a host and a port";
    if (authority != NULL)
        return check_authority(authority);
    if (strcmp(target, "*") == 0)
        return strcmp(method, "OPTIONS") == 0 ? NULL : "only OPTIONS takes * as request target";
    return target[0] == '/' ? NULL : "the request target is neither a path nor an http URL";
}

void
uri_split(const char *target, const char **path, size_t *path_length, const char **query)
{
    const char *authority = find_authority(target);

    if (authority != NULL)
        target = authority + strcspn(authority, "/?");
    *path = target;
    *path_length = strcspn(target, "?");
    *query = target[*path_length] == '?' ? target + *path_length + 1 : NULL;
    if (*path_length == 0) {
        *path = "/";
        *path_length = 1;
    }
}

void
uri_normalize_path(char *target)
{
    const char *path, *query;
    size_t length;
    char *out;

    uri_split(target, &path, &length, &query);
    for (size_t i = 0; i < length; i++) {
        if (path[i] == '%' && !is_encoded(path + i, length - i))
            return;
    }
    if (memchr(path, '%', length) == NULL)
        return;
    out = target + (path - target);
    for (size_t i = 0; i < length; i++) {
        if (path[i] == '%' && is_unreserved(decoded_char(path + i))) {
            *out++ = decoded_char(path + i);
            i += 2;
        } else {
            *out++ = path[i];
        }
    }
    memmove(out, path + length, strlen(path + length) + 1);
}

uri_text
uri_decode(const char *text, size_t length, bool plus_is_blank)
{
    uri_text decoded = {.data = xmalloc(length + 1)};

    for (size_t i = 0; i < length; i++) {
        char c = text[i];

        if (is_encoded(text + i, length - i)) {
            c = decoded_char(text + i);
            i += 2;
        } else if (c == '+' && plus_is_blank) {
            c = ' ';
        }
        decoded.data[decoded.length++] = c;
    }
    decoded.data[decoded.length] = '\0';
    return decoded;
}

/* ---- queries ------------------------------------------------------------------ */

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

/* ---- values ------------------------------------------------------------------- */

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

        if (is_unreserved(text[i])) {
            buf_append_char(out, text[i]);
        } else {
            char encoded[3] = {'%', digits[c >> 4], digits[c & 15]};

            buf_append(out, encoded, 3);
        }
    }
}
