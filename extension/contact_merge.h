/*
 * contact_merge.h: what is stored and what a body says make what is wanted.
 */
#ifndef CTMS_CONTACT_MERGE_H
#define CTMS_CONTACT_MERGE_H

#include "postgres.h"

#include "extension/body_error.h"
#include "extension/contact.h"
#include "extension/contact_body.h"

/*
 * Fills *wanted, which shares Datums with both. `stored` is at its defaults where the
 * contact is new. Adds errors for waitlist fields that their schema refuses.
 */
extern void
contact_merge(const ContactBody *body, const Contact *stored, Contact *wanted, BodyErrors *errors);

#endif
