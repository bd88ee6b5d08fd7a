/*
 * json_schema/format/uri.c: URIs (RFC 3986), IRIs (RFC 3987) and URI templates (RFC 6570).
 */
#include "extension/base/compat.h"

#include "extension/base/utf8.h"
#include "extension/json_schema/format/format.h"

typedef const unsigned char *Bytes;

static bool
is_alpha(unsigned char c)
{
    return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

static bool
is_digit(unsigned char c)
{
    return c >= '0' && c <= '9';
}

static bool
is_one_of(unsigned char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

/* ucschar of RFC 3987; in a query also the private code points. */
static bool
is_international(uint32 c, bool in_query)
{
    if (in_query && ((c >= 0xE000 && c <= 0xF8FF) || c >= 0xF0000))
        return (c & 0xFFFE) != 0xFFFE;
    return (c >= 0xA0 && c <= 0xD7FF) || (c >= 0xF900 && c <= 0xFDCF) ||
           (c >= 0xFDF0 && c <= 0xFFEF) || (c >= 0x10000 && c <= 0xEFFFD && (c & 0xFFFE) != 0xFFFE);
}

/* Reads one unreserved character, sub-delimiter, escape, or one of the others given. */
static bool
take_character(Bytes *at, Bytes end, const char *others, bool is_iri, bool in_query)
{
    unsigned char c = **at;

    if (c >= 0x80)
        return is_iri && is_international(utf8_decode(at, end), in_query);
    if (c == '%') {
        if (end - *at < 3 || !isxdigit((*at)[1]) || !isxdigit((*at)[2]))
            return false;
        *at += 3;
        return true;
    }
    (*at)++;
    return is_alpha(c) || is_digit(c) || is_one_of(c, "-._~!$&'()*+,;=") || is_one_of(c, others);
}

static bool
all_characters(Bytes at, Bytes end, const char *others, bool is_iri, bool in_query)
{
    while (at < end)
        if (!take_character(&at, end, others, is_iri, in_query))
            return false;
    return true;
}

static Bytes
find(Bytes at, Bytes end, const char *set)
{
    while (at < end && !is_one_of(*at, set))
        at++;
    return at;
}

static bool
is_ip_literal(Bytes at, Bytes end)
{
    if (end - at > 2 && (at[1] | 0x20) == 'v') {
        Bytes dot = find(at, end, ".");

        for (Bytes p = at + 2; p < dot; p++)
            if (!isxdigit(*p))
                return false;
        return dot < end - 1 && dot > at + 2 && dot + 1 < end - 1 &&
               all_characters(dot + 1, end - 1, ":", false, false);
    }
    return format_ipv6((const char *)at + 1, end - at - 2);
}

static bool
is_authority(Bytes at, Bytes end, bool is_iri)
{
    Bytes user_end = end;
    Bytes host_end;

    while (user_end > at && user_end[-1] != '@')
        user_end--;
    if (user_end > at) {
        if (!all_characters(at, user_end - 1, ":", is_iri, false))
            return false;
        at = user_end;
    }
    if (at < end && *at == '[') {
        host_end = find(at, end, "]");
        if (host_end == end || !is_ip_literal(at, host_end + 1))
            return false;
        host_end++;
    } else {
        host_end = find(at, end, ":");
        if (!all_characters(at, host_end, "", is_iri, false))
            return false;
    }
    if (host_end < end && *host_end != ':')
        return false;
    for (Bytes p = host_end + 1; p < end; p++)
        if (!is_digit(*p))
            return false;
    return true;
}

/* Reads what follows a scheme, or a reference without a scheme. */
static bool
is_relative(Bytes at, Bytes end, bool is_iri)
{
    Bytes path_end = find(at, end, "?#");
    Bytes query_end = path_end;

    if (path_end < end && *path_end == '?') {
        query_end = find(path_end + 1, end, "#");
        if (!all_characters(path_end + 1, query_end, ":@/?", is_iri, true))
            return false;
    }
    if (query_end < end && !all_characters(query_end + 1, end, ":@/?", is_iri, false))
        return false;
    if (path_end - at >= 2 && at[0] == '/' && at[1] == '/') {
        Bytes authority_end = find(at + 2, path_end, "/");

        if (!is_authority(at + 2, authority_end, is_iri))
            return false;
        at = authority_end;
    }
    return all_characters(at, path_end, ":@/", is_iri, false);
}

/* The end of a scheme, after its colon; NULL when there is no scheme. */
static Bytes
after_scheme(Bytes at, Bytes end)
{
    if (at == end || !is_alpha(*at))
        return NULL;
    while (at < end && (is_alpha(*at) || is_digit(*at) || is_one_of(*at, "+-.")))
        at++;
    return at < end && *at == ':' ? at + 1 : NULL;
}

static bool
is_absolute(const char *text, uint32 length, bool is_iri)
{
    Bytes end = (Bytes)text + length;
    Bytes rest = after_scheme((Bytes)text, end);

    return rest && is_relative(rest, end, is_iri);
}

static bool
is_reference(const char *text, uint32 length, bool is_iri)
{
    Bytes at = (Bytes)text;
    Bytes end = at + length;
    Bytes segment_end = find(at, end, "/?#");

    /* With a colon in the first segment, it would be read as a scheme. */
    if (find(at, segment_end, ":") < segment_end)
        return is_absolute(text, length, is_iri);
    return is_relative(at, end, is_iri);
}

bool
format_uri(const char *text, uint32 length)
{
    return is_absolute(text, length, false);
}

bool
format_uri_reference(const char *text, uint32 length)
{
    return is_reference(text, length, false);
}

bool
format_iri(const char *text, uint32 length)
{
    return is_absolute(text, length, true);
}

bool
format_iri_reference(const char *text, uint32 length)
{
    return is_reference(text, length, true);
}

/* ---- templates ---------------------------------------------------------------------- */

static bool
take_variable(Bytes *at, Bytes end)
{
    Bytes start = *at;
    bool after_dot = true;

    while (*at < end) {
        unsigned char c = **at;

        if (c == '%') {
            if (end - *at < 3 || !isxdigit((*at)[1]) || !isxdigit((*at)[2]))
                return false;
            *at += 3;
        } else if (is_alpha(c) || is_digit(c) || c == '_' || (c == '.' && !after_dot)) {
            (*at)++;
        } else {
            break;
        }
        after_dot = c == '.';
    }
    if (*at == start || after_dot)
        return false;
    if (*at < end && **at == '*') {
        (*at)++;
    } else if (*at < end && **at == ':') {
        Bytes digits = ++*at;

        while (*at < end && is_digit(**at))
            (*at)++;
        return *at > digits && *at - digits <= 4 && *digits != '0';
    }
    return true;
}

static bool
is_expression(Bytes at, Bytes end)
{
    if (at < end && is_one_of(*at, "+#./;?&=,!@|"))
        at++;
    while (take_variable(&at, end)) {
        if (at == end)
            return true;
        if (*at++ != ',')
            return false;
    }
    return false;
}

bool
format_uri_template(const char *text, uint32 length)
{
    Bytes at = (Bytes)text;
    Bytes end = at + length;

    while (at < end) {
        if (*at == '{') {
            Bytes close = find(at, end, "}");

            if (close == end || !is_expression(at + 1, close))
                return false;
            at = close + 1;
        } else if (*at == '%') {
            if (end - at < 3 || !isxdigit(at[1]) || !isxdigit(at[2]))
                return false;
            at += 3;
        } else if (*at >= 0x80) {
            if (!is_international(utf8_decode(&at, end), true))
                return false;
        } else if (*at <= 0x20 || *at == 0x7F || is_one_of(*at, "\"<>\\^`{|}")) {
            return false;
        } else {
            at++;
        }
    }
    return true;
}
