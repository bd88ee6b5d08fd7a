/*
 * suspects.h: contacts that met a fault of the configuration, each with the table that refused it.
 * A contact itself is the cause of the fault if other contacts are accepted and it is not.
 * outcome.c and claim.c use it.
 *
 * Holds the last SUSPECTS_MAX of them.
 */
#ifndef AGENT_SUSPECTS_H
#define AGENT_SUSPECTS_H

#include "agent/contact.h"

enum { SUSPECTS_MAX = 256 };

typedef struct suspect {
    char email_id[EMAIL_ID_SIZE];
    acoustic_table table;
    double since_s;
} suspect;

/* Empty when all bytes are zero. */
typedef struct suspects {
    suspect ring[SUSPECTS_MAX];
    int count; /* grows; the ring holds the last SUSPECTS_MAX */
} suspects;

/* Adds the contact, or updates the time of its last fault. */
void suspects_add_contact(suspects *all, const contact *c, acoustic_table table, double now_s);
/* Null when the contact is not known as a suspect. */
const suspect *suspects_find_contact(const suspects *all, const contact *c, acoustic_table table);
/* True if it is a suspect for any table. */
bool suspects_have_contact(const suspects *all, const contact *c);

#endif
