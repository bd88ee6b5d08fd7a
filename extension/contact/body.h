/*
 * contact/body.h: the body of a POST, PUT or PATCH as the client sent it, checked.
 */
#ifndef CTMS_CONTACT_BODY_H
#define CTMS_CONTACT_BODY_H

#include "postgres.h"

#include "extension/contact/body_error.h"
#include "extension/contact/contact.h"

#include "utils/jsonb.h"

typedef enum ContactMethod { METHOD_POST, METHOD_PUT, METHOD_PATCH } ContactMethod;

typedef enum BodyMember {
    MEMBER_ABSENT,
    MEMBER_NULL,
    MEMBER_GIVEN,
    MEMBER_WORD /* "DELETE", or "UNSUBSCRIBE" for lists */
} BodyMember;

typedef struct ContactBody {
    ContactMethod method;
    bool has_email_id;
    pg_uuid_t email_id;
    BodyMember member[CONTACT_BODY_GROUPS];
    ContactRecord records[CONTACT_BODY_GROUPS]; /* unused for groups that are lists */
    ContactList lists[CONTACT_STORED_GROUPS];   /* sorted by name; unused for groups of one row */
} ContactBody;

/*
 * Reads the body and checks everything that can be checked without knowing what is stored, except
 * waitlist fields (contact/waitlist.h). Adds every error found. *body may only be used when there
 * was none.
 */
extern void
contact_body_read(ContactBody *body, ContactMethod method, const Jsonb *json, BodyErrors *errors);

/*
 * Whether vpn_waitlist, relay_waitlist or the names of newsletters say something about waitlists.
 * They do only when "waitlists" itself is absent or empty.
 */
extern bool contact_body_is_legacy(const ContactBody *body);

#endif
