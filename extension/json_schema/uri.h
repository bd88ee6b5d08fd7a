/*
 * json_schema/uri.h: URI references of schemas (RFC 3986). Results are strings in the current
 * memory context.
 */
#ifndef CTMS_JSON_SCHEMA_URI_H
#define CTMS_JSON_SCHEMA_URI_H

#include "extension/base/compat.h"

/* The reference resolved against an absolute or empty base; dot segments removed. */
extern char *json_schema_uri_resolve(const char *base, const char *reference);

/* Splits at "#": the part before it is returned; *fragment is the percent-decoded rest,
 * NULL when there is no "#". */
extern char *json_schema_uri_split(const char *uri, char **fragment);

/* A JSON Pointer as the fragment of a URI. */
extern char *json_schema_uri_encode_fragment(const char *pointer);

#endif
