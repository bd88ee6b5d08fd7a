/*
 * contact/schema.h: the JSON Schemas of contacts. Bodies are judged by those that the
 * description of the API shows.
 */
#ifndef CTMS_CONTACT_SCHEMA_H
#define CTMS_CONTACT_SCHEMA_H

#include "extension/contact/body.h"

#include "lib/stringinfo.h"

/* Appends {"new_contact": …, "changed_contact": …, "contact": …} and what these refer to. */
extern void contact_schema_write(StringInfo out);

/* Whether a body, coerced (contact/coerce.h), is valid under the schema for the method. */
extern bool contact_schema_accepts(ContactMethod method, const Jsonb *body);

#endif
