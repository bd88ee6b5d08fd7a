/* legacy.c: see legacy.h. */
#include "rest/legacy.h"

#include <stddef.h>
#include <string.h>

static const char *
skip_blanks(const char *p)
{
    while (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n')
        p++;
    return p;
}

/* From behind the first quote of a string to the last one, or to the end of the text. */
static const char *
find_quote(const char *p)
{
    while (*p != '"' && *p != '\0') {
        if (*p == '\\' && p[1] != '\0')
            p++;
        p++;
    }
    return p;
}

static bool
is_name(const char *name, size_t length, const char *expected)
{
    return length == strlen(expected) && memcmp(name, expected, length) == 0;
}

/* A string is a name if a colon follows it. */
static void
see_string(const char *name, const char *quote, bool *has_old, bool *has_list)
{
    size_t length = (size_t)(quote - name);
    const char *p = *quote ? skip_blanks(quote + 1) : quote;

    if (*p != ':')
        return;
    if (is_name(name, length, "vpn_waitlist") || is_name(name, length, "relay_waitlist")) {
        *has_old = true;
    } else if (is_name(name, length, "waitlists")) {
        p = skip_blanks(p + 1);
        *has_list = *p == '[' && *skip_blanks(p + 1) != ']';
    }
}

bool
legacy_uses_waitlists(const char *body)
{
    const char *p = skip_blanks(body);
    bool has_old = false, has_list = false;
    size_t depth = 0;

    /* For most bodies this search is enough, and it is faster. */
    if (strstr(body, "\"vpn_waitlist\"") == NULL && strstr(body, "\"relay_waitlist\"") == NULL)
        return false;
    if (*p != '{')
        return false;
    for (; *p != '\0'; p++) {
        if (*p == '"') {
            const char *quote = find_quote(p + 1);

            if (depth == 1)
                see_string(p + 1, quote, &has_old, &has_list);
            if (*quote == '\0')
                return false;
            p = quote;
        } else if (*p == '{' || *p == '[') {
            depth++;
        } else if ((*p == '}' || *p == ']') && --depth == 0) {
            return has_old && !has_list && *skip_blanks(p + 1) == '\0';
        }
    }
    return false;
}
