/*
 * http/uri.h: request targets: hosts, path segments, query parameters, percent-encoding. http.c
 * checks every target with it, exchange.c reads it, form.c decodes fields.
 */
#ifndef CTMS_REST_HTTP_URI_H
#define CTMS_REST_HTTP_URI_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"

#define URI_PARAMETERS_MAX 64

/* A decoded value. It may contain NULs and bytes that are not UTF-8; uri_is_text() tells. */
typedef struct uri_text {
    char *data; /* ends with a NUL that does not count */
    size_t length;
} uri_text;

typedef struct uri_parameter {
    uri_text name;
    uri_text value;
} uri_parameter;

typedef struct uri_query {
    size_t count;
    uri_parameter parameters[URI_PARAMETERS_MAX];
} uri_query;

/*
 * What is wrong with a target, as a text for the client, or NULL (RFC 9112 3.2). A path is not
 * looked into: characters that a URI should have encoded stand for themselves.
 */
const char *uri_check_target(const char *method, const char *target);

/* True for a host with or without a port, as in the header Host; false for an empty one. */
bool uri_is_host(const char *text, size_t length);

/*
 * Decodes the unreserved characters in the path of a target, in place, so that "/%5Fx" is "/_x"
 * (RFC 3986 6.2.2.2). What has a meaning stays encoded: "%2F" is data. A path with a "%" that two
 * hexadecimal digits do not follow stays as it is. Decoding the path gives the same before and
 * after.
 */
void uri_normalize_path(char *target);

/*
 * Finds the path and the query of a target (also of one like "http://host/path?query"). *query is
 * NULL when there is no "?".
 */
void uri_split(const char *target, const char **path, size_t *path_length, const char **query);

/*
 * Decodes %XX; a "%" that two hexadecimal digits do not follow stays as it is. plus_is_blank: "+"
 * is a blank, as in queries and forms. Free data with free().
 */
uri_text uri_decode(const char *text, size_t length, bool plus_is_blank);

/* Reads name=value pairs joined by "&". Returns false when there are too many. The first ones are
 * in the query even then, and must be freed. */
bool uri_parse_query(const char *text, size_t length, uri_query *query);
void uri_query_free(uri_query *query);
/* The last parameter of that name, NULL when there is none. */
const uri_text *uri_query_get(const uri_query *query, const char *name);

/* Valid UTF-8 without NUL: can be a text in PostgreSQL. */
bool uri_is_text(const uri_text *text);

/* A UUID in any form that PostgreSQL reads. */
bool uri_is_uuid(const char *text);

/* Appends text; every character that has a meaning in a query value is encoded. */
void uri_encode(buf *out, const char *text, size_t length);

#endif
