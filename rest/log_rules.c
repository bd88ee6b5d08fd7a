/* log_rules.c: what of the texts that a caller sends may be in the log; see log_rules.h. */
#include "rest/log_rules.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define IDENTIFIER_MAX 128
#define SEGMENT_MAX 16
#define PLAIN_PATH_MAX 128

/* ---- addresses ------------------------------------------------------------------ */

static bool
begins_with(const char *text, size_t length, const char *mark)
{
    size_t mark_length = strlen(mark);

    return length >= mark_length && strncasecmp(text, mark, mark_length) == 0;
}

/* "%40", and "%2540" and so on. The wide at signs begin with the byte EF. */
static bool
is_percent_mark(const char *text, size_t length)
{
    size_t i = 1;

    while (begins_with(text + i, length - i, "25"))
        i += 2;
    return begins_with(text + i, length - i, "40") || begins_with(text + i, length - i, "ef") ||
           begins_with(text + i, length - i, "u");
}

bool
log_rules_may_hold_address(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        const char *at = text + i;
        size_t left = length - i;

        switch (*at) {
        case '@': return true;
        case '%':
            if (is_percent_mark(at, left))
                return true;
            break;
        case '&':
            if (begins_with(at, left, "&#") || begins_with(at, left, "&commat"))
                return true;
            break;
        case '\\':
            if (begins_with(at, left, "\\u") || begins_with(at, left, "\\x"))
                return true;
            break;
        case '\xEF': /* U+FF20, U+FE6B */
            if (begins_with(at, left, "\xEF\xBC\xA0") || begins_with(at, left, "\xEF\xB9\xAB"))
                return true;
            break;
        default: break;
        }
    }
    return false;
}

/* ---- words --------------------------------------------------------------------------- */

static bool
has_only(const char *text, size_t length, const char *others)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c == '\0' || c > 0x7E || (!isalnum(c) && strchr(others, c) == NULL))
            return false;
    }
    return true;
}

bool
log_rules_is_identifier(const char *text, size_t length)
{
    return length <= IDENTIFIER_MAX && has_only(text, length, "_.:-");
}

bool
log_rules_is_plain_path(const char *path, size_t length)
{
    size_t start = 0;

    if (length > PLAIN_PATH_MAX || !has_only(path, length, "/_.-"))
        return false;
    for (size_t i = 0; i <= length; i++) {
        if (i < length && path[i] != '/')
            continue;
        if (i - start > SEGMENT_MAX)
            return false;
        start = i + 1;
    }
    return true;
}

const char *
log_rules_method(const http_request *request)
{
    static const char *const others[] = {"OPTIONS", "CONNECT", "TRACE"};

    if (request->method != HTTP_OTHER)
        return request->method_name;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (strcmp(request->method_name, others[i]) == 0)
            return others[i];
    }
    return LOG_OMITTED;
}

/* ---- headers --------------------------------------------------------------------------- */

typedef struct known_header {
    const char *name;
    log_rules_header kind;
} known_header;

static int
compare_names(const void *name, const void *entry)
{
    return strcasecmp(name, ((const known_header *)entry)->name);
}

log_rules_header
log_rules_find_header(const char *name, const char **shown)
{
    /* Sorted. */
    static const known_header headers[] = {
        {"accept", LOG_HEADER_SHOWN},
        {"accept-charset", LOG_HEADER_SHOWN},
        {"accept-encoding", LOG_HEADER_SHOWN},
        {"accept-language", LOG_HEADER_SHOWN},
        {"authorization", LOG_HEADER_SECRET},
        {"cache-control", LOG_HEADER_SHOWN},
        {"cf-ray", LOG_HEADER_SHOWN},
        {"connection", LOG_HEADER_SHOWN},
        {"content-encoding", LOG_HEADER_SHOWN},
        {"content-length", LOG_HEADER_SHOWN},
        {"content-type", LOG_HEADER_TYPE},
        {"cookie", LOG_HEADER_SECRET},
        {"expect", LOG_HEADER_SHOWN},
        {"forwarded", LOG_HEADER_SHOWN},
        {"from", LOG_HEADER_SECRET},
        {"host", LOG_HEADER_SHOWN},
        {"origin", LOG_HEADER_SECRET},
        {"proxy-authorization", LOG_HEADER_SECRET},
        {"referer", LOG_HEADER_SECRET},
        {"te", LOG_HEADER_SHOWN},
        {"traceparent", LOG_HEADER_SHOWN},
        {"transfer-encoding", LOG_HEADER_SHOWN},
        {"upgrade", LOG_HEADER_SHOWN},
        {"user-agent", LOG_HEADER_SHOWN},
        {"via", LOG_HEADER_SHOWN},
        {"x-amzn-oidc-data", LOG_HEADER_SECRET},
        {"x-amzn-trace-id", LOG_HEADER_SHOWN},
        {"x-api-key", LOG_HEADER_SECRET},
        {"x-cloud-trace-context", LOG_HEADER_SHOWN},
        {"x-forwarded-access-token", LOG_HEADER_SECRET},
        {"x-forwarded-for", LOG_HEADER_SHOWN},
        {"x-forwarded-host", LOG_HEADER_SHOWN},
        {"x-forwarded-port", LOG_HEADER_SHOWN},
        {"x-forwarded-prefix", LOG_HEADER_SHOWN},
        {"x-forwarded-proto", LOG_HEADER_SHOWN},
        {"x-goog-authenticated-user-id", LOG_HEADER_SECRET},
        {"x-goog-iap-jwt-assertion", LOG_HEADER_SECRET},
        {"x-real-ip", LOG_HEADER_SHOWN},
        {"x-request-id", LOG_HEADER_ID},
    };
    const known_header *found = bsearch(name, headers, sizeof(headers) / sizeof(headers[0]),
                                        sizeof(headers[0]), compare_names);

    *shown = found ? found->name : NULL;
    return found ? found->kind : LOG_HEADER_UNKNOWN;
}

/* ---- JSON ---------------------------------------------------------------------------------- */

const char *
log_rules_shown_identifier(const json_t *value)
{
    const char *text = json_string_value(value);

    return text != NULL && log_rules_is_identifier(text, json_string_length(value)) ? text
                                                                                    : LOG_OMITTED;
}

static json_t *
hide_text(const json_t *text, bool is_own)
{
    const char *value = json_string_value(text);
    size_t length = json_string_length(text);
    bool is_shown = is_own ? !log_rules_may_hold_address(value, length)
                           : log_rules_is_identifier(value, length);

    return is_shown ? json_stringn(value, length) : json_string(LOG_OMITTED);
}

static json_t *
hide_texts(const json_t *value, bool is_own)
{
    json_t *copy, *one;
    const char *key;
    size_t i;

    if (json_is_string(value))
        return hide_text(value, is_own);
    if (json_is_array(value)) {
        copy = json_array();
        json_array_foreach((json_t *)value, i, one)
        {
            json_array_append_new(copy, hide_texts(one, is_own));
        }
        return copy;
    }
    if (!json_is_object(value))
        return json_deep_copy(value);
    copy = json_object();
    json_object_foreach((json_t *)value, key, one)
    {
        json_object_set_new(copy, log_rules_is_identifier(key, strlen(key)) ? key : LOG_OMITTED,
                            hide_texts(one, is_own || strcmp(key, "message") == 0));
    }
    return copy;
}

json_t *
log_rules_hide_texts(const json_t *value, bool are_own)
{
    return hide_texts(value, are_own);
}
