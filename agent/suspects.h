/*
 * suspects.h: contacts that met a fault of the configuration, each with the table that refused it.
 * Perhaps it is their own fault: it is, when others get through and they do not.
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

/* All zero: none. */
typedef struct suspects {
    suspect ring[SUSPECTS_MAX];
    int count; /* grows; the ring holds the last ones */
} suspects;

/* Adds the contact, or says when it met its fault once more. */
void suspects_add_contact(suspects *all, const contact *c, acoustic_table table, double now_s);
/* Null: it is none, as far as is known. */
const suspect *suspects_find_contact(const suspects *all, const contact *c, acoustic_table table);
/* Of any table. */
bool suspects_have_contact(const suspects *all, const contact *c);

#endif
