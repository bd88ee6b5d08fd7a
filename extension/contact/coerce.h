/*
 * contact/coerce.h: what clients may write in more than one way becomes one.
 */
#ifndef CTMS_CONTACT_COERCE_H
#define CTMS_CONTACT_COERCE_H

#include "extension/contact/contact.h"

#include "utils/jsonb.h"

/*
 * A body with its numbers as text where a field is text or a boolean, and without spaces
 * around URLs. Returns the body itself when there is nothing to do, which is the rule.
 */
extern const Jsonb *contact_coerce(const Jsonb *body);

#endif
