/*
 * contact/body_error.h: the list of errors found in one request, as clients see it.
 *
 * Each error is {"loc": [...], "msg": "...", "type": "..."}. The list becomes the DETAIL of an
 * error with SQLSTATE CT422. Messages must not contain values of a contact.
 */
#ifndef CTMS_BODY_ERROR_H
#define CTMS_BODY_ERROR_H

#include "postgres.h"

#include "lib/stringinfo.h"

/* A place in the request: a chain of keys and indexes. It lives on the C stack. */
typedef struct BodyPlace {
    const struct BodyPlace *parent; /* NULL: the first element of "loc" */
    const char *key;                /* NULL: an array index */
    int key_len;
    int index;
} BodyPlace;

extern const BodyPlace body_root;  /* ["body"] */
extern const BodyPlace query_root; /* ["query"] */
extern const BodyPlace path_root;  /* ["path"] */

static inline BodyPlace
body_key(const BodyPlace *parent, const char *key)
{
    return (BodyPlace){.parent = parent, .key = key, .key_len = (int)strlen(key)};
}

static inline BodyPlace
body_index(const BodyPlace *parent, int index)
{
    return (BodyPlace){.parent = parent, .index = index};
}

typedef struct BodyErrors {
    StringInfoData json; /* "[{...},{...}" */
    int count;
} BodyErrors;

extern void body_errors_init(BodyErrors *errors);
extern void body_error_add(BodyErrors *errors, const BodyPlace *place, const char *type,
                           const char *format, ...) pg_attribute_printf(4, 5);
/* The value is null where null is not allowed. */
extern void body_error_add_null(BodyErrors *errors, const BodyPlace *place);
/* A required key is absent. */
extern void body_error_add_missing(BodyErrors *errors, const BodyPlace *place);
/* Raises CT422 if there is any error; returns otherwise. */
extern void body_errors_raise(BodyErrors *errors);

#endif
