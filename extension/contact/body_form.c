/*
 * contact/body_form.c: the forms of texts in bodies: words for booleans, UUIDs, URLs. What is taken
 * beside the form that the published schemas ask for is described in contact/body_value.c.
 */
#include "extension/base/compat.h"

#include "extension/base/hex.h"
#include "extension/contact/body_form.h"
#include "extension/json/text.h"

#include "utils/builtins.h"

/* ---- words for booleans ------------------------------------------------------------ */

static const struct {
    const char *word;
    bool value;
} flag_words[] = {{"t", true},   {"y", true},      {"1", true},   {"true", true},
                  {"yes", true}, {"on", true},     {"f", false},  {"n", false},
                  {"0", false},  {"false", false}, {"no", false}, {"off", false}};

bool
body_form_read_flag(const char *input, int length, bool *value)
{
    for (size_t i = 0; i < lengthof(flag_words); i++)
        if ((int)strlen(flag_words[i].word) == length &&
            pg_strncasecmp(input, flag_words[i].word, length) == 0) {
            *value = flag_words[i].value;
            return true;
        }
    return false;
}

/* ---- UUIDs ----------------------------------------------------------------------- */

/* Like uuid_in(): optional braces, and an optional hyphen after every fourth digit. */
bool
body_form_read_uuid(const char *input, int length, pg_uuid_t *uuid)
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

text *
body_form_uuid_text(const pg_uuid_t *uuid)
{
    StringInfoData quoted;

    initStringInfo(&quoted);
    json_text_write_uuid(&quoted, uuid);
    return cstring_to_text_with_len(quoted.data + 1, quoted.len - 2);
}

/* ---- URLs ------------------------------------------------------------------------- */

/*
 * Checks what is between "://" and the path: a host, with anything before "@" and a port after
 * it.
 */
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

bool
body_form_check_url(const char *bytes, int length, const BodyPlace *place, BodyErrors *errors)
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

void
body_form_strip_url(const char **bytes, int *length)
{
    for (; *length > 0 && is_outer_space((*bytes)[*length - 1]); (*length)--)
        ;
    for (; *length > 0 && is_outer_space((*bytes)[0]); (*length)--)
        (*bytes)++;
}
