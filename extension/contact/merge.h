/*
 * contact/merge.h: what is stored and what a body says make what is wanted.
 */
#ifndef CTMS_CONTACT_MERGE_H
#define CTMS_CONTACT_MERGE_H

#include "postgres.h"

#include "extension/contact/body.h"
#include "extension/contact/body_error.h"
#include "extension/contact/contact.h"

/*
 * Fills *wanted, which shares Datums with both. `stored` is at its defaults where the
 * contact is new. Adds errors for waitlist fields that their schema refuses.
 */
extern void
contact_merge(const ContactBody *body, const Contact *stored, Contact *wanted, BodyErrors *errors);

#endif
