/*
 * contact/schema.h: the JSON Schemas of contacts, for the description of the API.
 */
#ifndef CTMS_CONTACT_SCHEMA_H
#define CTMS_CONTACT_SCHEMA_H

#include "postgres.h"

#include "lib/stringinfo.h"

/*
 * Appends {"new_contact": …, "changed_contact": …, "contact": …, "identity": …} and the schemas to
 * which these refer.
 */
extern void contact_schema_write(StringInfo out);

#endif
