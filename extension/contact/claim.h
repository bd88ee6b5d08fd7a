/*
 * contact/claim.h: makes contacts that exchange unique values wait for each other in one order.
 */
#ifndef CTMS_CONTACT_CLAIM_H
#define CTMS_CONTACT_CLAIM_H

#include "postgres.h"

#include "extension/contact/contact.h"

/*
 * Must be called before any row of a stored contact is written. If the difference makes one
 * statement give up a unique value and claim another, it locks these values until the end of the
 * transaction. Otherwise it does nothing. The caller must have locked the row of the contact.
 */
extern void contact_claim_values(const Contact *stored, const Contact *wanted);

#endif
