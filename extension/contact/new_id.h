/*
 * contact/new_id.h: the ids of new contacts.
 */
#ifndef CTMS_CONTACT_NEW_ID_H
#define CTMS_CONTACT_NEW_ID_H

#include "postgres.h"

#include "utils/uuid.h"

/* An id of its own for a contact that the caller gives none. */
extern void new_id_make(pg_uuid_t *id);
/* Whether a client may give a new contact this id: random, or as new_id_make() makes them. */
extern bool new_id_is_accepted(const pg_uuid_t *id);

#endif
