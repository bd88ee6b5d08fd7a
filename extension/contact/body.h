/*
 * contact/body.h: the body of POST, PUT or PATCH as the caller gave it, checked.
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
    ContactRecord records[CONTACT_BODY_GROUPS]; /* those of lists are unused */
    ContactList lists[CONTACT_STORED_GROUPS];   /* sorted by name; those of rows are unused */
} ContactBody;

/*
 * Reads and checks everything that can be told without knowing what is stored, but for
 * waitlist fields (contact/waitlist.h). Adds every error found; *body is only
 * meaningful when there was none.
 */
extern void
contact_body_read(ContactBody *body, ContactMethod method, const Jsonb *json, BodyErrors *errors);

/* Whether vpn_waitlist, relay_waitlist and the names of newsletters say something about
 * waitlists: "waitlists" itself is absent or empty. */
extern bool contact_body_is_legacy(const ContactBody *body);

#endif
