/*
 * json_schema/uri.c: URI references of schemas (RFC 3986).
 */
#include "extension/base/compat.h"

#include "extension/base/hex.h"
#include "extension/json_schema/uri.h"

/* Components point into the string that was split; the start of a missing one is NULL. */
typedef struct Span {
    const char *start;
    size_t length;
} Span;

typedef struct UriParts {
    Span scheme;
    Span authority;
    Span path;
    Span query;
    Span fragment;
} UriParts;

static Span
take(const char **rest, size_t length)
{
    Span span = {*rest, length};

    *rest += length;
    return span;
}

static bool
starts_with_scheme(const char *uri, size_t length)
{
    if (length == 0 || !((uri[0] | 0x20) >= 'a' && (uri[0] | 0x20) <= 'z'))
        return false;
    for (size_t i = 1; i < length; i++) {
        char c = uri[i];

        if (!(((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
              c == '-' || c == '.'))
            return false;
    }
    return true;
}

static UriParts
split_parts(const char *uri)
{
    UriParts parts;
    const char *rest = uri;
    size_t to_colon = strcspn(uri, ":/?#");

    memset(&parts, 0, sizeof(parts));
    if (uri[to_colon] == ':' && starts_with_scheme(uri, to_colon)) {
        parts.scheme = take(&rest, to_colon);
        rest++;
    }
    if (rest[0] == '/' && rest[1] == '/') {
        rest += 2;
        parts.authority = take(&rest, strcspn(rest, "/?#"));
    }
    parts.path = take(&rest, strcspn(rest, "?#"));
    if (*rest == '?') {
        rest++;
        parts.query = take(&rest, strcspn(rest, "#"));
    }
    if (*rest == '#') {
        rest++;
        parts.fragment = take(&rest, strlen(rest));
    }
    return parts;
}

/* RFC 3986, 5.2.4: appends the path without its "." and ".." segments. */
static void
append_normal_path(StringInfo out, const char *path, size_t length)
{
    int floor = out->len;
    const char *end = path + length;

    while (path < end) {
        const char *stop = memchr(path + 1, '/', end - path - 1);
        size_t size = (stop ? stop : end) - path;
        size_t skip = *path == '/';
        bool is_dot = size - skip == 1 && path[skip] == '.';
        bool is_dots = size - skip == 2 && path[skip] == '.' && path[skip + 1] == '.';

        if (is_dots) {
            while (out->len > floor && out->data[out->len - 1] != '/')
                out->len--;
            if (out->len > floor)
                out->len--;
            out->data[out->len] = '\0';
        }
        if (!is_dot && !is_dots)
            appendBinaryStringInfo(out, path, size);
        else if (!stop && skip)
            appendStringInfoChar(out, '/');
        path += size;
    }
}

static void
append_span(StringInfo out, const char *before, Span span, const char *after)
{
    if (!span.start)
        return;
    appendStringInfoString(out, before);
    appendBinaryStringInfo(out, span.start, span.length);
    appendStringInfoString(out, after);
}

/* Appends the path of the base up to its last slash, and then that of the reference. */
static void
append_merged_path(StringInfo out, const UriParts *base, Span path)
{
    StringInfoData merged;
    size_t keep = base->path.length;

    initStringInfo(&merged);
    while (keep > 0 && base->path.start[keep - 1] != '/')
        keep--;
    if (base->authority.start && base->path.length == 0)
        appendStringInfoChar(&merged, '/');
    appendBinaryStringInfo(&merged, base->path.start, keep);
    appendBinaryStringInfo(&merged, path.start, path.length);
    append_normal_path(out, merged.data, merged.len);
    pfree(merged.data);
}

char *
json_schema_uri_resolve(const char *base, const char *reference)
{
    UriParts b = split_parts(base);
    UriParts r = split_parts(reference);
    bool has_scheme = r.scheme.start != NULL;
    bool has_authority = has_scheme || r.authority.start;
    StringInfoData out;

    initStringInfo(&out);
    append_span(&out, "", has_scheme ? r.scheme : b.scheme, ":");
    append_span(&out, "//", has_authority ? r.authority : b.authority, "");
    if (has_authority || (r.path.length > 0 && r.path.start[0] == '/')) {
        append_normal_path(&out, r.path.start, r.path.length);
    } else if (r.path.length > 0) {
        append_merged_path(&out, &b, r.path);
    } else {
        appendBinaryStringInfo(&out, b.path.start, b.path.length);
        if (!r.query.start)
            append_span(&out, "?", b.query, "");
    }
    append_span(&out, "?", r.query, "");
    append_span(&out, "#", r.fragment, "");
    return out.data;
}

static char *
percent_decode(const char *text)
{
    char *decoded = palloc(strlen(text) + 1);
    char *out = decoded;

    while (*text) {
        int high = *text == '%' ? hex_value(text[1]) : -1;
        int low = high >= 0 ? hex_value(text[2]) : -1;

        if (low >= 0 && (high || low)) {
            *out++ = (char)(high * 16 + low);
            text += 3;
        } else {
            *out++ = *text++;
        }
    }
    *out = '\0';
    return decoded;
}

char *
json_schema_uri_split(const char *uri, char **fragment)
{
    const char *mark = strchr(uri, '#');

    *fragment = mark ? percent_decode(mark + 1) : NULL;
    return pnstrdup(uri, mark ? (size_t)(mark - uri) : strlen(uri));
}

char *
json_schema_uri_encode_fragment(const char *pointer)
{
    StringInfoData out;

    initStringInfo(&out);
    for (; *pointer; pointer++) {
        unsigned char c = *pointer;

        if ((c < 0x80 && isalnum(c)) || strchr("-._~!$&'()*+,;=:@/?", c))
            appendStringInfoChar(&out, (char)c);
        else
            appendStringInfo(&out, "%%%02X", c);
    }
    return out.data;
}
