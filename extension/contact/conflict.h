/*
 * contact/conflict.h: tells which unique value of a contact is taken.
 *
 * The fields are named as in bodies ("email.primary_email"). Values are never part of the answer.
 */
#ifndef CTMS_CONTACT_CONFLICT_H
#define CTMS_CONTACT_CONFLICT_H

#include "postgres.h"

#include "extension/contact/contact.h"

/*
 * The first field whose value belongs to another contact; NULL when there is none. With is_new,
 * the row of emails has not been inserted, so its email_id may be taken too. Needs an SPI
 * connection.
 */
extern const char *contact_conflict_find(const Contact *wanted, bool is_new);

/*
 * The field of a unique violation in a table of contacts; NULL when the key is not that of one
 * field. Reads nothing but the error, so the transaction may have failed.
 */
extern const char *contact_conflict_of_error(const ErrorData *error);

#endif
