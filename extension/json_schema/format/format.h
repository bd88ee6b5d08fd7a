/*
 * json_schema/format/format.h: the values of "format" that can be asserted.
 *
 * Each check takes the bytes of a string in UTF-8 and tells whether it has the format.
 */
#ifndef CTMS_JSON_SCHEMA_FORMAT_H
#define CTMS_JSON_SCHEMA_FORMAT_H

#include "extension/json/value.h"

typedef struct JsonSchemaFormat {
    const char *name;
    bool (*holds)(const char *text, uint32 length);
} JsonSchemaFormat;

/* NULL when the format is not known in that draft: it asserts nothing then. */
extern const JsonSchemaFormat *json_format_find(const char *name, int draft);

extern bool json_format_holds(const JsonSchemaFormat *format, JsonValue string);

/* ---- json_schema/format/content.c --------------------------------------------------------- */

/* What a content keyword of the schema asserts, where it is asked to; NULL for nothing. */
extern const JsonSchemaFormat *json_content_find(JsonValue schema, const char *keyword);

/* ---- json_schema/format/time.c (RFC 3339) ------------------------------------------ */

extern bool json_format_date(const char *text, uint32 length);
extern bool json_format_time(const char *text, uint32 length);
extern bool json_format_date_time(const char *text, uint32 length);
extern bool json_format_duration(const char *text, uint32 length);

/* ---- json_schema/format/host.c (RFC 5321, 1123, 2673, 4291, 5890 to 5893) ------------ */

extern bool json_format_email(const char *text, uint32 length);
extern bool json_format_idn_email(const char *text, uint32 length);
extern bool json_format_hostname(const char *text, uint32 length);
extern bool json_format_idn_hostname(const char *text, uint32 length);
extern bool json_format_ipv4(const char *text, uint32 length);
extern bool json_format_ipv6(const char *text, uint32 length);

/* Host names before draft 7: RFC 1123 alone. */
extern bool json_format_plain_hostname(const char *text, uint32 length);

/* ---- json_schema/format/idn.c ------------------------------------------------------- */

#define JSON_FORMAT_LABEL_LIMIT 63

/* A label of an internationalised host name, as code points; with the rules for labels of
 * host names that have one written from right to left. */
extern bool json_format_idn_label(const uint32 *points, int n, bool is_bidirectional);
extern bool json_format_is_right_to_left(const uint32 *points, int n);
/* RFC 3492: decodes what follows "xn--"; the number of code points, -1 on a mistake. */
extern int json_format_decode_punycode(const char *text, uint32 length, uint32 *points, int limit);
/* Encodes; the number of bytes, -1 when they are more than the limit. */
extern int json_format_encode_punycode(const uint32 *points, int n, char *text, int limit);

/* ---- json_schema/format/uri.c (RFC 3986, 3987, 6570) -------------------------------- */

extern bool json_format_uri(const char *text, uint32 length);
extern bool json_format_uri_reference(const char *text, uint32 length);
extern bool json_format_iri(const char *text, uint32 length);
extern bool json_format_iri_reference(const char *text, uint32 length);
extern bool json_format_uri_template(const char *text, uint32 length);

#endif
