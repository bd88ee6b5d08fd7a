/*
 * contact/claim.h: contacts that exchange unique values wait for each other in one order.
 */
#ifndef CTMS_CONTACT_CLAIM_H
#define CTMS_CONTACT_CLAIM_H

#include "postgres.h"

#include "extension/contact/contact.h"

/*
 * To be called before anything of a stored contact is written. Where the difference makes
 * one statement give up a unique value and claim another, it locks these values until the
 * end of the transaction; otherwise it does nothing. The caller holds the contact's row.
 */
extern void contact_claim_values(const Contact *stored, const Contact *wanted);

#endif
