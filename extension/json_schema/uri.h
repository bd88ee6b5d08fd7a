/*
 * json_schema/uri.h: URI references of schemas (RFC 3986) and JSON Pointers (RFC 6901).
 * Results are strings in the current memory context.
 */
#ifndef CTMS_JSON_SCHEMA_URI_H
#define CTMS_JSON_SCHEMA_URI_H

#include "extension/base/compat.h"

#include "lib/stringinfo.h"

/* The reference resolved against an absolute or empty base; dot segments removed. */
extern char *json_uri_resolve(const char *base, const char *reference);

/* Splits at "#": the part before it is returned; *fragment is the percent-decoded rest,
 * NULL when there is no "#". */
extern char *json_uri_split(const char *uri, char **fragment);

/* A JSON Pointer as the fragment of a URI. */
extern char *json_uri_encode_fragment(const char *pointer);

/* Appends "/token" with "~" and "/" escaped. */
extern void json_pointer_append(StringInfo pointer, const char *token, uint32 length);

/* Takes the next "/token" off *pointer, unescaped into *token; false at the end. */
extern bool json_pointer_next(const char **pointer, StringInfo token);

/* The array index that the token spells, -1 when it spells none. */
extern int64 json_pointer_index(const char *token);

#endif
