/*
 * contact/body_value.h: one value of a request becomes the value of a field, or an error.
 */
#ifndef CTMS_BODY_VALUE_H
#define CTMS_BODY_VALUE_H

#include "postgres.h"

#include "extension/contact/body_error.h"
#include "extension/contact/contact.h"

#include "utils/jsonb.h"
#include "utils/uuid.h"

/*
 * Checks and converts a JSON value for `field`. On success sets *value and *is_null (the
 * Datum is allocated in the current context); otherwise adds an error at `place`.
 */
extern bool body_value_read(const ContactField *field, JsonbValue *json, const BodyPlace *place,
                            BodyErrors *errors, Datum *value, bool *is_null);

/* A UUID in any form that PostgreSQL reads; false for anything else. */
extern bool uuid_read(const char *input, int length, pg_uuid_t *uuid);
extern bool uuid_is_version_4(const pg_uuid_t *uuid);
/* true/false, yes/no, on/off, t/f, y/n, 1/0 in any case. */
extern bool boolean_word_read(const char *input, int length, bool *value);

/* Whether the value, null aside, is an object; adds an error otherwise. */
extern bool body_value_is_object(JsonbValue *json, const BodyPlace *place, BodyErrors *errors);
extern void body_error_null(BodyErrors *errors, const BodyPlace *place);
extern void body_error_missing(BodyErrors *errors, const BodyPlace *place);

#endif
