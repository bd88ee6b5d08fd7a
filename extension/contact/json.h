/*
 * contact/json.h: writes contacts and identities as answers show them.
 */
#ifndef CTMS_CONTACT_JSON_H
#define CTMS_CONTACT_JSON_H

#include "postgres.h"

#include "extension/contact/contact.h"

#include "lib/stringinfo.h"

/*
 * Writes all groups with their defaults. When the contact is the whole answer, it begins with
 * "status":"ok".
 */
extern void contact_json_write(StringInfo out, const Contact *contact, bool has_status);
extern void contact_json_write_identity(StringInfo out, const Contact *contact);

#endif
