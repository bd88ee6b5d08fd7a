/*
 * http/form.h: the few fields of a form that a token request needs, and HTTP Basic credentials.
 *
 * Only the names that are asked for are ever looked at: other fields may hold anything.
 */
#ifndef CTMS_REST_HTTP_FORM_H
#define CTMS_REST_HTTP_FORM_H

#include <stdbool.h>
#include <stddef.h>

typedef struct form_field {
    const char *name; /* asked for */
    char *value;      /* NULL when absent; free with free() */
} form_field;

/*
 * Fills the values from a body that is a multipart form if content_type says so, else
 * urlencoded. Returns false, with no values, when the body is not such a form or a wanted
 * value is not text.
 */
bool form_read(const char *content_type, const char *body, size_t length, form_field *fields,
               size_t count);
void form_free(form_field *fields, size_t count);

/* Reads an Authorization header of type Basic. Both strings are to be freed by the caller. */
bool form_read_basic(const char *authorization, char **user, char **password);

#endif
