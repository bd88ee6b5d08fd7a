/*
 * http/form.c: reads the few fields of a form that a token request needs, and HTTP Basic
 * credentials; see form.h.
 */
#include "rest/http/form.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/buf.h"
#include "common/utf8.h"
#include "rest/http/uri.h"

#define BOUNDARY_MAX 70

static form_field *
find_field(form_field *fields, size_t count, const char *name, size_t length)
{
    for (size_t i = 0; i < count; i++) {
        if (strlen(fields[i].name) == length && strncmp(fields[i].name, name, length) == 0)
            return &fields[i];
    }
    return NULL;
}

/* If a name is given twice, the last field counts. */
static bool
set_value(form_field *field, const char *data, size_t length)
{
    if (!utf8_is_text(data, length))
        return false;
    free(field->value);
    field->value = xstrndup(data, length);
    return true;
}

/* ---- urlencoded -------------------------------------------------------------- */

static bool
read_urlencoded(const char *body, size_t length, form_field *fields, size_t count)
{
    const char *end = body + length;
    bool ok = true;

    while (ok && body < end) {
        const char *amp = memchr(body, '&', (size_t)(end - body));
        const char *pair_end = amp ? amp : end;
        const char *equals = memchr(body, '=', (size_t)(pair_end - body));

        if (equals != NULL) {
            uri_text name = uri_decode(body, (size_t)(equals - body), true);
            form_field *field = find_field(fields, count, name.data, name.length);

            if (field != NULL) {
                uri_text value = uri_decode(equals + 1, (size_t)(pair_end - equals - 1), true);

                ok = set_value(field, value.data, value.length);
                free(value.data);
            }
            free(name.data);
        }
        body = pair_end + 1;
    }
    return ok;
}

/* ---- multipart ------------------------------------------------------------------ */

/* Finds attribute=value in a header value like "form-data; name=\"x\"". */
static bool
find_attribute(const char *text, const char *attribute, const char **value, size_t *length)
{
    size_t attribute_length = strlen(attribute);

    while (*text != '\0') {
        text += strcspn(text, ";");
        text += strspn(text, "; \t");
        if (strncasecmp(text, attribute, attribute_length) != 0 || text[attribute_length] != '=') {
            if (*text == '"')
                return false;
            continue;
        }
        text += attribute_length + 1;
        if (*text == '"') {
            *value = ++text;
            *length = strcspn(text, "\"");
            return text[*length] == '"';
        }
        *value = text;
        *length = strcspn(text, "; \t");
        return true;
    }
    return false;
}

/* The name of a part, from its header lines (ended with NUL). NULL when it has none. */
static const char *
part_name(char *headers, size_t *length)
{
    static const char wanted[] = "Content-Disposition:";
    const char *name = NULL;
    char *line = headers;

    while (line != NULL && *line != '\0') {
        char *end = strstr(line, "\r\n");

        if (end != NULL)
            *end = '\0';
        if (strncasecmp(line, wanted, sizeof(wanted) - 1) == 0 &&
            find_attribute(line, "name", &name, length))
            return name;
        line = end ? end + 2 : NULL;
    }
    return NULL;
}

static bool
take_part(const char *part, size_t length, form_field *fields, size_t count)
{
    const char *blank = memmem(part, length, "\r\n\r\n", 4);
    form_field *field = NULL;
    const char *name;
    size_t name_length = 0;
    char *headers;

    if (blank == NULL)
        return false;
    headers = xstrndup(part, (size_t)(blank - part));
    name = part_name(headers, &name_length);
    if (name != NULL)
        field = find_field(fields, count, name, name_length);
    free(headers);
    blank += 4;
    return field == NULL || set_value(field, blank, length - (size_t)(blank - part));
}

static bool
read_multipart(const char *content_type, const char *body, size_t length, form_field *fields,
               size_t count)
{
    char delimiter[BOUNDARY_MAX + 5] = "\r\n--";
    const char *boundary;
    size_t boundary_length, delimiter_length;
    const char *end = body + length;
    const char *part, *next;

    if (!find_attribute(content_type, "boundary", &boundary, &boundary_length) ||
        boundary_length == 0 || boundary_length > BOUNDARY_MAX)
        return false;
    memcpy(delimiter + 4, boundary, boundary_length);
    delimiter_length = boundary_length + 4;

    /* The body may begin with the first delimiter, without a line break before it. */
    if (length >= delimiter_length - 2 && memcmp(body, delimiter + 2, delimiter_length - 2) == 0)
        part = body + delimiter_length - 2;
    else if ((part = memmem(body, length, delimiter, delimiter_length)) != NULL)
        part += delimiter_length;
    else
        return false;
    while (end - part >= 2 && memcmp(part, "--", 2) != 0) {
        next = memmem(part, (size_t)(end - part), delimiter, delimiter_length);
        if (next == NULL || !take_part(part, (size_t)(next - part), fields, count))
            return false;
        part = next + delimiter_length;
    }
    return end - part >= 2;
}

/* ---- both ------------------------------------------------------------------------- */

bool
form_read(const char *content_type, const char *body, size_t length, form_field *fields,
          size_t count)
{
    static const char multipart[] = "multipart/form-data";
    bool ok;

    if (content_type != NULL && strncasecmp(content_type, multipart, sizeof(multipart) - 1) == 0)
        ok = read_multipart(content_type, body, length, fields, count);
    else
        ok = read_urlencoded(body, length, fields, count);
    if (!ok)
        form_free(fields, count);
    return ok;
}

void
form_free(form_field *fields, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(fields[i].value);
        fields[i].value = NULL;
    }
}

/* ---- HTTP Basic ----------------------------------------------------------------------- */

static int
base64_value(char c)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(alphabet, c) : NULL;

    return at ? (int)(at - alphabet) : -1;
}

/* Decodes a token of the Basic scheme; NULL when it is not base64. */
static char *
decode_base64(const char *text, size_t *length)
{
    size_t input = strlen(text);
    char *decoded = xmalloc(input + 1);
    unsigned bits = 0, bit_count = 0;

    while (input > 0 && text[input - 1] == '=')
        input--;
    *length = 0;
    for (size_t i = 0; i < input; i++) {
        int value = base64_value(text[i]);

        if (value < 0) {
            free(decoded);
            return NULL;
        }
        bits = (bits << 6 | (unsigned)value) & 0xFFFFFF;
        bit_count += 6;
        if (bit_count >= 8) {
            bit_count -= 8;
            decoded[(*length)++] = (char)(bits >> bit_count & 0xFF);
        }
    }
    decoded[*length] = '\0';
    return decoded;
}

bool
form_read_basic(const char *authorization, char **user, char **password)
{
    char *decoded, *colon;
    size_t length;
    bool ok;

    if (authorization == NULL || strncasecmp(authorization, "Basic ", 6) != 0)
        return false;
    authorization += 6;
    decoded = decode_base64(authorization + strspn(authorization, " "), &length);
    if (decoded == NULL)
        return false;
    colon = strchr(decoded, ':');
    ok = colon != NULL && utf8_is_text(decoded, length);
    if (ok) {
        *user = xstrndup(decoded, (size_t)(colon - decoded));
        *password = xstrdup(colon + 1);
    }
    free(decoded);
    return ok;
}
