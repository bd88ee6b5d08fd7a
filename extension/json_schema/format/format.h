/*
 * json_schema/format/format.h: the values of "format" that can be asserted.
 *
 * Each check gets the bytes of a string in UTF-8 and returns whether it has the format.
 */
#ifndef CTMS_JSON_SCHEMA_FORMAT_H
#define CTMS_JSON_SCHEMA_FORMAT_H

#include "extension/json/value.h"

typedef struct JsonSchemaFormat {
    const char *name;
    bool (*holds)(const char *text, uint32 length);
} JsonSchemaFormat;

/* NULL when the draft does not know the format. Then it asserts nothing. */
extern const JsonSchemaFormat *format_find(const char *name, int draft);

extern bool format_holds(const JsonSchemaFormat *format, JsonValue string);

/* ---- json_schema/format/content.c --------------------------------------------------------- */

/* What a content keyword of the schema asserts, if that is asked for; NULL for nothing. */
extern const JsonSchemaFormat *content_find(JsonValue schema, const char *keyword);

/* ---- the formats ----------------------------------------------------------------------- */

/* Every format with its check. The declarations and the table are made from this list. */
#define FORMATS(FORMAT)                                                                            \
    /* json_schema/format/time.c: RFC 3339 */                                                      \
    FORMAT("date", format_date)                                                                    \
    FORMAT("time", format_time)                                                                    \
    FORMAT("date-time", format_date_time)                                                          \
    FORMAT("duration", format_duration)                                                            \
    /* json_schema/format/host.c: RFC 5321, 1123, 2673, 4291, 5890 to 5893 */                      \
    FORMAT("email", format_email)                                                                  \
    FORMAT("idn-email", format_idn_email)                                                          \
    FORMAT("hostname", format_hostname)                                                            \
    FORMAT("idn-hostname", format_idn_hostname)                                                    \
    FORMAT("ipv4", format_ipv4)                                                                    \
    FORMAT("ipv6", format_ipv6)                                                                    \
    /* json_schema/format/uri.c: RFC 3986, 3987, 6570 */                                           \
    FORMAT("uri", format_uri)                                                                      \
    FORMAT("uri-reference", format_uri_reference)                                                  \
    FORMAT("iri", format_iri)                                                                      \
    FORMAT("iri-reference", format_iri_reference)                                                  \
    FORMAT("uri-template", format_uri_template)                                                    \
    /* json_schema/format/format.c: RFC 9562, 6901; ECMA-262 */                                    \
    FORMAT("uuid", format_uuid)                                                                    \
    FORMAT("json-pointer", format_json_pointer)                                                    \
    FORMAT("relative-json-pointer", format_relative_json_pointer)                                  \
    FORMAT("regex", format_regex)

#define FORMAT_DECLARE(name, holds) extern bool holds(const char *text, uint32 length);
FORMATS(FORMAT_DECLARE)
#undef FORMAT_DECLARE

/* Host names before draft 7: only RFC 1123. */
extern bool format_plain_hostname(const char *text, uint32 length);

/* ---- json_schema/format/idn.c ------------------------------------------------------- */

#define FORMAT_LABEL_LIMIT 63

/*
 * Checks a label of an internationalised host name, given as code points. If any label of the
 * host name is written from right to left, the rules for both directions apply.
 */
extern bool format_idn_label(const uint32 *points, int n, bool is_bidirectional);
extern bool format_is_right_to_left(const uint32 *points, int n);
/* RFC 3492: decodes what follows "xn--". Returns the number of code points, or -1 on a mistake. */
extern int format_decode_punycode(const char *text, uint32 length, uint32 *points, int limit);
/* Encodes. Returns the number of bytes, or -1 when they exceed the limit. */
extern int format_encode_punycode(const uint32 *points, int n, char *text, int limit);

#endif
