/*
 * contact/body_form.h: the forms of texts in bodies, and in parameters of requests.
 */
#ifndef CTMS_CONTACT_BODY_FORM_H
#define CTMS_CONTACT_BODY_FORM_H

#include "postgres.h"

#include "extension/contact/body_error.h"

#include "utils/uuid.h"

/* true/false, yes/no, on/off, t/f, y/n, 1/0 in any case. */
extern bool body_form_read_flag(const char *input, int length, bool *value);

/* A UUID in any form that PostgreSQL reads; false for anything else. */
extern bool body_form_read_uuid(const char *input, int length, pg_uuid_t *uuid);
/* The canonical form of a UUID, in which tokens are stored. */
extern text *body_form_uuid_text(const pg_uuid_t *uuid);

/* Removes the spaces around a URL, which do not count. */
extern void body_form_strip_url(const char **bytes, int *length);
/* Whether the rest is an absolute URL; adds an error otherwise. */
extern bool
body_form_check_url(const char *bytes, int length, const BodyPlace *place, BodyErrors *errors);

#endif
