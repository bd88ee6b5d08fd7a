/*
 * base/errors.h: the SQLSTATEs of ctms, class "CT".
 *
 * The last three digits are the HTTP status that the REST server answers with, except in the
 * codes for Stripe. Messages must not contain values of a contact, because they end up in the
 * server log.
 */
#ifndef CTMS_BASE_ERRORS_H
#define CTMS_BASE_ERRORS_H

#include "postgres.h"

/* The request names nothing to look for. */
#define ERRCODE_CTMS_BAD_REQUEST MAKE_SQLSTATE('C', 'T', '4', '0', '0')
/* No such contact or waitlist. */
#define ERRCODE_CTMS_NOT_FOUND MAKE_SQLSTATE('C', 'T', '4', '0', '4')
/* The contact exists with other content, or a unique value belongs to another contact. */
#define ERRCODE_CTMS_CONFLICT MAKE_SQLSTATE('C', 'T', '4', '0', '9')
/* Input breaks a rule. DETAIL is a JSON array of {"loc": [...], "msg": "...", "type": "..."}. */
#define ERRCODE_CTMS_INVALID MAKE_SQLSTATE('C', 'T', '4', '2', '2')
/* Waitlist fields break their schema. DETAIL is a JSON array of {"instanceLocation",
 * "keyword", "keywordLocation", "error"}. */
#define ERRCODE_CTMS_WAITLIST_FIELDS MAKE_SQLSTATE('C', 'T', '0', '0', '1')
/* The value is not a Stripe object: no "object" or no "id". */
#define ERRCODE_CTMS_STRIPE_UNRECOGNIZED MAKE_SQLSTATE('C', 'T', 'S', '0', '1')
/* A required key is missing from a Stripe object, or has the wrong type. */
#define ERRCODE_CTMS_STRIPE_CONTENT MAKE_SQLSTATE('C', 'T', 'S', '0', '2')
/* A server is not a replica, or has not replayed what the caller needs: ask another one. */
#define ERRCODE_CTMS_NOT_REPLAYED MAKE_SQLSTATE('C', 'T', '5', '0', '3')
/*
 * A Stripe object refers to a parent or price that is not stored yet. The sender should deliver
 * it again.
 */
#define ERRCODE_CTMS_STRIPE_REFERENCE MAKE_SQLSTATE('C', 'T', 'S', '0', '3')

#endif
