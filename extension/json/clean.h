/*
 * json/clean.h: makes JSON text that jsonb can hold of bytes that should be JSON.
 */
#ifndef CTMS_JSON_CLEAN_H
#define CTMS_JSON_CLEAN_H

#include "extension/base/compat.h"

#include "lib/stringinfo.h"

/*
 * Stands where a value was that jsonb cannot hold: an array with this string. No key that takes a
 * string, a number, an object or a list of objects takes that.
 */
#define JSON_UNREADABLE "unreadable"

/*
 * Appends the value that the bytes are, as text that json_from_text() takes. Bytes should be UTF-8,
 * but may be anything. Returns false if they are not one JSON value by their brackets, commas,
 * colons and quotes; what has been appended is of no use then.
 *
 * What is no number or word of JSON or is too large, strings with zero characters, lone surrogates
 * or bytes that are not UTF-8, and what is nested too deeply become [JSON_UNREADABLE]; members with
 * such a key are left out.
 */
extern bool json_clean(const char *bytes, uint32 length, StringInfo out);

/* Whether what is between the quotes of a string can be text of the database. */
extern bool json_is_clean_text(const char *at, const char *end);

/* Moves over white space, and a byte order mark. */
extern const char *json_skip_space(const char *at, const char *end);
/* Behind the string, whose opening quote is there; NULL if it does not end. */
extern const char *json_skip_string(const char *at, const char *end);
/*
 * Behind the value that begins there, by its brackets and quotes alone; NULL if there is none, or
 * if it does not end.
 */
extern const char *json_skip_value(const char *at, const char *end);

#endif
