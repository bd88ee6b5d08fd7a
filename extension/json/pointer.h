/*
 * json/pointer.h: JSON Pointers (RFC 6901) as text.
 */
#ifndef CTMS_JSON_POINTER_H
#define CTMS_JSON_POINTER_H

#include "extension/base/compat.h"

#include "lib/stringinfo.h"

/* Appends "/token" with "~" and "/" escaped. */
extern void json_pointer_append(StringInfo pointer, const char *token, uint32 length);

/* Takes the next "/token" off *pointer, unescaped into *token; false at the end. */
extern bool json_pointer_next(const char **pointer, StringInfo token);

/* The array index that the token spells, -1 when it spells none. */
extern int64 json_pointer_index(const char *token);

#endif
