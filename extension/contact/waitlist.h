/*
 * contact/waitlist.h: waitlists in bodies: checks their fields with their schemas, and applies
 * the rules for what older clients send instead of "waitlists" (docs/contacts.md).
 */
#ifndef CTMS_CONTACT_WAITLIST_H
#define CTMS_CONTACT_WAITLIST_H

#include "postgres.h"

#include "extension/contact/body.h"
#include "extension/contact/body_error.h"
#include "extension/contact/contact.h"

/*
 * Checks the fields that the body gives in "waitlists" and, if there are errors, in the older
 * members.
 */
extern void contact_waitlist_check(const ContactBody *body, BodyErrors *errors);

/* Checks an item of "waitlists" that a PATCH will add. */
extern void contact_waitlist_check_new(const ContactRecord *item, BodyErrors *errors);

/*
 * Changes wanted->lists[GROUP_WAITLISTS] according to the older members and the names of
 * newsletters. Before the call it must have what the body's "waitlists" alone leads to.
 */
extern void contact_waitlist_apply_legacy(const ContactBody *body, const Contact *stored,
                                          Contact *wanted, BodyErrors *errors);

#endif
