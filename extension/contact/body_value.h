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
/* Whether the value, null aside, is an object; adds an error otherwise. */
extern bool body_value_is_object(JsonbValue *json, const BodyPlace *place, BodyErrors *errors);

#endif
