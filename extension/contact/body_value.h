/*
 * contact/body_value.h: what a body may give for a field: the check, and the JSON Schema that
 * describes it.
 */
#ifndef CTMS_BODY_VALUE_H
#define CTMS_BODY_VALUE_H

#include "postgres.h"

#include "extension/contact/body_error.h"
#include "extension/contact/contact.h"

#include "lib/stringinfo.h"
#include "utils/jsonb.h"

/*
 * Checks and converts a JSON value for `field`. On success sets *value and *is_null (the
 * Datum is allocated in the current context); otherwise adds an error at `place`.
 */
extern bool body_value_read(const ContactField *field, JsonbValue *json, const BodyPlace *place,
                            BodyErrors *errors, Datum *value, bool *is_null);
/* Whether a number is accepted and stored as its text. */
extern bool body_value_takes_numbers(const ContactField *field);

/* Writes the members of a schema for what clients should send. */
extern void body_value_publish(StringInfo out, const ContactField *field);
/* What else body_value_read() takes, in words; NULL: nothing. */
extern const char *body_value_tolerance(const ContactField *field);
/* Whether the value is an object; null must be handled before. Adds an error otherwise. */
extern bool body_value_is_object(JsonbValue *json, const BodyPlace *place, BodyErrors *errors);

#endif
