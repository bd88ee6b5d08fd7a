/*
 * contact/relay.h: a relay newsletter that is subscribed needs a country.
 */
#ifndef CTMS_CONTACT_RELAY_H
#define CTMS_CONTACT_RELAY_H

#include "extension/contact/body.h"
#include "extension/contact/body_error.h"

/* Adds an error at the first newsletter of the body that lacks its country. */
extern void contact_relay_check(const ContactBody *body, BodyErrors *errors);

/* Writes the same rule as members of a JSON Schema of the body, without a comma before or after. */
extern void contact_relay_publish(StringInfo out);

#endif
