/*
 * contact/body_value.h: what a field takes in a body: the check, and the JSON Schema that
 * tells others of it.
 */
#ifndef CTMS_BODY_VALUE_H
#define CTMS_BODY_VALUE_H

#include "postgres.h"

#include "extension/contact/body_error.h"
#include "extension/contact/contact.h"

#include "lib/stringinfo.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

/*
 * Checks and converts a JSON value for `field`. On success sets *value and *is_null (the
 * Datum is allocated in the current context); otherwise adds an error at `place`.
 */
extern bool body_value_read(const ContactField *field, JsonbValue *json, const BodyPlace *place,
                            BodyErrors *errors, Datum *value, bool *is_null);
/* Whether a number counts as its text. */
extern bool body_value_takes_numbers(const ContactField *field);

/* Writes the members of a schema of what body_value_read() accepts. It allows more in one way:
 * a limit of characters says nothing of numbers. */
extern void body_value_publish(StringInfo out, const ContactField *field);
/* Writes the schema that those of FIELD_BOOLEAN refer to as "#/components/schemas/flag". */
extern void body_value_publish_flag(StringInfo out);
/* A pattern of the words that mean `value`. */
extern const char *body_value_flag_pattern(bool value);

/* Whether the value, null aside, is an object; adds an error otherwise. */
extern bool body_value_is_object(JsonbValue *json, const BodyPlace *place, BodyErrors *errors);

/* ---- forms that parameters of requests have, too ---- */

/* A UUID in any form that PostgreSQL reads; false for anything else. */
extern bool body_value_read_uuid(const char *input, int length, pg_uuid_t *uuid);
extern bool body_value_is_uuid_4(const pg_uuid_t *uuid);
/* Its canonical form, as tokens are stored. */
extern text *body_value_uuid_text(const pg_uuid_t *uuid);
/* true/false, yes/no, on/off, t/f, y/n, 1/0 in any case. */
extern bool body_value_read_flag(const char *input, int length, bool *value);

#endif
