/*
 * contact/waitlist_fields.h: reports errors of waitlist fields as errors of a request.
 */
#ifndef CTMS_CONTACT_WAITLIST_FIELDS_H
#define CTMS_CONTACT_WAITLIST_FIELDS_H

#include "postgres.h"

#include "extension/contact/body_error.h"

#include "utils/jsonb.h"

/* Checks the fields of the waitlist `name`; adds an error below `place` for each fault. */
extern bool contact_waitlist_fields_check(const char *name, Jsonb *fields, const BodyPlace *place,
                                          BodyErrors *errors);

#endif
