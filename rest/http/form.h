/*
 * http/form.h: reads the few fields of a form that a token request needs, and HTTP Basic
 * credentials. token.c calls it.
 *
 * Only the fields that are asked for are read; other fields may contain anything.
 */
#ifndef CTMS_REST_HTTP_FORM_H
#define CTMS_REST_HTTP_FORM_H

#include <stdbool.h>
#include <stddef.h>

typedef struct form_field {
    const char *name; /* the field to find */
    char *value;      /* NULL when absent; free with free() */
} form_field;

/*
 * Fills in the values from a body, which is read as a multipart form if content_type says so,
 * otherwise as urlencoded. Returns false, with no values, when the body is not such a form or when
 * a value that is asked for is not text.
 */
bool form_read(const char *content_type, const char *body, size_t length, form_field *fields,
               size_t count);
void form_free(form_field *fields, size_t count);

/* Reads an Authorization header of type Basic. The caller frees both strings. */
bool form_read_basic(const char *authorization, char **user, char **password);

#endif
