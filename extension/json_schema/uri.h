/*
 * json_schema/uri.h: URI references of schemas (RFC 3986). Results are strings in the current
 * memory context.
 */
#ifndef CTMS_JSON_SCHEMA_URI_H
#define CTMS_JSON_SCHEMA_URI_H

#include "extension/base/compat.h"

/* Resolves the reference against an absolute or empty base, and removes dot segments. */
extern char *json_schema_uri_resolve(const char *base, const char *reference);

/*
 * Splits at "#" and returns the part before it. *fragment is the percent-decoded rest, or NULL
 * when there is no "#".
 */
extern char *json_schema_uri_split(const char *uri, char **fragment);

/* A JSON Pointer as the fragment of a URI. */
extern char *json_schema_uri_encode_fragment(const char *pointer);

#endif
