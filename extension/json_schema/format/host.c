/*
 * json_schema/format/host.c: e-mail addresses, host names and IP addresses.
 */
#include "extension/base/compat.h"

#include "extension/base/utf8.h"
#include "extension/json_schema/format/format.h"

static bool
is_alphanumeric(unsigned char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

/* ---- IP addresses --------------------------------------------------------------------- */

bool
format_ipv4(const char *text, uint32 length)
{
    const char *at = text;
    const char *end = text + length;

    for (int part = 0; part < 4; part++) {
        const char *start = at;
        int value = 0;

        while (at < end && *at >= '0' && *at <= '9' && at - start < 3)
            value = value * 10 + (*at++ - '0');
        if (at == start || value > 255 || (at - start > 1 && *start == '0'))
            return false;
        if (part < 3 && (at == end || *at++ != '.'))
            return false;
    }
    return at == end;
}

bool
format_ipv6(const char *text, uint32 length)
{
    const char *at = text;
    const char *end = text + length;
    int n_groups = 0;
    bool is_shortened = false;

    if (length >= 2 && at[0] == ':' && at[1] == ':') {
        is_shortened = true;
        at += 2;
    }
    while (at < end) {
        const char *start = at;

        while (at < end && isxdigit((unsigned char)*at) && at - start < 5)
            at++;
        if (at < end && *at == '.') {
            n_groups += 2;
            return format_ipv4(start, end - start) && (is_shortened ? n_groups < 8 : n_groups == 8);
        }
        if (at == start || at - start > 4)
            return false;
        n_groups++;
        if (at == end)
            break;
        if (*at++ != ':' || at == end)
            return false;
        if (*at == ':') {
            if (is_shortened)
                return false;
            is_shortened = true;
            at++;
        }
    }
    return is_shortened ? n_groups < 8 : n_groups == 8;
}

/* ---- host names ------------------------------------------------------------------------- */

#define HOSTNAME_LIMIT 253

/*
 * Decodes an "xn--" label. It is only valid if encoding the code points again gives the same
 * label.
 */
static int
decode_a_label(const char *label, uint32 length, uint32 *points)
{
    char encoded[FORMAT_LABEL_LIMIT];
    int n = format_decode_punycode(label + 4, length - 4, points, FORMAT_LABEL_LIMIT);
    bool is_international = false;
    int n_bytes;

    for (int i = 0; i < n; i++)
        is_international |= points[i] >= 0x80;
    if (!is_international)
        return -1;
    n_bytes = format_encode_punycode(points, n, encoded, FORMAT_LABEL_LIMIT);
    if (n_bytes != (int)length - 4 || pg_strncasecmp(encoded, label + 4, n_bytes) != 0)
        return -1;
    return n;
}

static bool
is_plain_label(const char *label, uint32 length)
{
    if (length == 0 || length > FORMAT_LABEL_LIMIT || label[0] == '-' || label[length - 1] == '-')
        return false;
    for (uint32 i = 0; i < length; i++)
        if (!is_alphanumeric(label[i]) && label[i] != '-')
            return false;
    return true;
}

static bool
is_label(const char *label, uint32 length)
{
    uint32 points[FORMAT_LABEL_LIMIT];
    int n;

    if (!is_plain_label(label, length))
        return false;
    if (length < 4 || label[2] != '-' || label[3] != '-')
        return true;
    if (pg_strncasecmp(label, "xn--", 4) != 0)
        return false;
    n = decode_a_label(label, length, points);
    return n > 0 && format_idn_label(points, n, format_is_right_to_left(points, n));
}

static bool
is_hostname(const char *text, uint32 length, bool (*is_a_label)(const char *, uint32))
{
    const char *at = text;
    const char *end = text + length;

    if (length == 0 || length > HOSTNAME_LIMIT)
        return false;
    while (true) {
        const char *dot = memchr(at, '.', end - at);
        const char *stop = dot ? dot : end;

        if (!is_a_label(at, stop - at))
            return false;
        if (!dot)
            return true;
        at = dot + 1;
    }
}

bool
format_hostname(const char *text, uint32 length)
{
    return is_hostname(text, length, is_label);
}

bool
format_plain_hostname(const char *text, uint32 length)
{
    return is_hostname(text, length, is_plain_label);
}

/* Whether it is one of the four dots of RFC 3490. */
static bool
is_dot(uint32 c)
{
    return c == '.' || c == 0x3002 || c == 0xFF0E || c == 0xFF61;
}

/*
 * The next label as code points; an "xn--" label is decoded. Returns -1 on a mistake. Adds to
 * *n_bytes how long the label is in a plain host name.
 */
static int
take_idn_label(const unsigned char **at, const unsigned char *end, uint32 *points, int *n_bytes)
{
    const unsigned char *start = *at;
    const unsigned char *stop = start;
    char encoded[FORMAT_LABEL_LIMIT];
    bool is_ascii = true;
    int n = 0;
    int n_encoded;

    while (*at < end) {
        uint32 c = utf8_decode(at, end);

        if (is_dot(c))
            break;
        if (n == FORMAT_LABEL_LIMIT)
            return -1;
        is_ascii &= c < 0x80;
        points[n++] = c;
        stop = *at;
    }
    *n_bytes += n + 1;
    if (is_ascii) {
        if (!is_label((const char *)start, stop - start))
            return -1;
        return n >= 4 && pg_strncasecmp((const char *)start, "xn--", 4) == 0
                   ? decode_a_label((const char *)start, stop - start, points)
                   : n;
    }
    n_encoded = format_encode_punycode(points, n, encoded, FORMAT_LABEL_LIMIT);
    *n_bytes += n_encoded + 4 - n;
    return n_encoded < 0 ? -1 : n;
}

/* Checks all labels. If one of them needs the rules for both directions, these apply to all. */
static bool
are_idn_labels(const unsigned char *at, const unsigned char *end, bool is_bidirectional,
               bool *has_right_to_left)
{
    uint32 points[FORMAT_LABEL_LIMIT];
    int n_bytes = -1;

    while (true) {
        const unsigned char *start = at;
        int n = take_idn_label(&at, end, points, &n_bytes);

        if (n <= 0 || !format_idn_label(points, n, is_bidirectional))
            return false;
        *has_right_to_left |= format_is_right_to_left(points, n);
        if (at == end) {
            const unsigned char *last = end;

            return n_bytes <= HOSTNAME_LIMIT && !is_dot(utf8_decode_before(&last, start, end));
        }
    }
}

bool
format_idn_hostname(const char *text, uint32 length)
{
    const unsigned char *at = (const unsigned char *)text;
    bool has_right_to_left = false;

    if (length == 0 || length > 4 * HOSTNAME_LIMIT ||
        !are_idn_labels(at, at + length, false, &has_right_to_left))
        return false;
    return !has_right_to_left || are_idn_labels(at, at + length, true, &has_right_to_left);
}

/* ---- e-mail addresses --------------------------------------------------------------------- */

static bool
is_quoted(const unsigned char *at, const unsigned char *end, bool is_international)
{
    if (end - at < 2 || *at != '"' || end[-1] != '"')
        return false;
    for (at++, end--; at < end; at++) {
        if (*at == '\\' && ++at == end)
            return false;
        else if (*at == '"' && at[-1] != '\\')
            return false;
        if (*at < 0x20 || *at == 0x7F || (*at >= 0x80 && !is_international))
            return false;
    }
    return true;
}

static bool
is_local_part(const unsigned char *at, const unsigned char *end, bool is_international)
{
    bool after_dot = true;

    if (at < end && *at == '"')
        return is_quoted(at, end, is_international);
    for (; at < end; at++) {
        if (*at == '.' && after_dot)
            return false;
        after_dot = *at == '.';
        if (!after_dot && !is_alphanumeric(*at) && !(*at >= 0x80 && is_international) &&
            (*at == '\0' || !strchr("!#$%&'*+-/=?^_`{|}~", *at)))
            return false;
    }
    return !after_dot;
}

static bool
is_address_literal(const char *text, uint32 length)
{
    if (length < 2 || text[length - 1] != ']')
        return false;
    if (length > 7 && pg_strncasecmp(text + 1, "IPv6:", 5) == 0)
        return format_ipv6(text + 6, length - 7);
    return format_ipv4(text + 1, length - 2);
}

static bool
is_email(const char *text, uint32 length, bool is_international)
{
    const char *at_sign = text + length;
    const char *domain;
    uint32 domain_length;

    while (at_sign > text && at_sign[-1] != '@')
        at_sign--;
    if (at_sign == text)
        return false;
    domain = at_sign;
    domain_length = text + length - domain;
    if (at_sign - 1 - text > 64 && !is_international)
        return false;
    if (!is_local_part((const unsigned char *)text, (const unsigned char *)at_sign - 1,
                       is_international))
        return false;
    if (domain_length > 0 && *domain == '[')
        return is_address_literal(domain, domain_length);
    return is_international ? format_idn_hostname(domain, domain_length)
                            : format_hostname(domain, domain_length);
}

bool
format_email(const char *text, uint32 length)
{
    return is_email(text, length, false);
}

bool
format_idn_email(const char *text, uint32 length)
{
    return is_email(text, length, true);
}
