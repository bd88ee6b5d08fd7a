/*
 * contact/merge.h: computes the wanted contact from the stored one and the body.
 */
#ifndef CTMS_CONTACT_MERGE_H
#define CTMS_CONTACT_MERGE_H

#include "postgres.h"

#include "extension/contact/body.h"
#include "extension/contact/body_error.h"
#include "extension/contact/contact.h"

/*
 * Fills *wanted, which shares Datums with both. For a new contact `stored` is at its defaults.
 * Adds an error for each waitlist whose fields do not satisfy their schema.
 */
extern void
contact_merge(const ContactBody *body, const Contact *stored, Contact *wanted, BodyErrors *errors);

#endif
