/*
 * acoustic/render.h: renders the rows that Acoustic gets about contacts.
 */
#ifndef CTMS_ACOUSTIC_RENDER_H
#define CTMS_ACOUSTIC_RENDER_H

#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/array.h"

/* Receives the rows. Memory that is allocated in a call lives until the contact is done. */
typedef struct AcousticSink {
    /*
     * Takes a row. kind: "main", "newsletter", "waitlist" or "product". name: distinguishes rows
     * of the same kind, empty for "main". json: an object whose values are texts; must be copied.
     */
    void (*row)(void *arg, Datum email_id, const char *kind, const char *name,
                const StringInfoData *json);
    void (*contact_done)(void *arg, Datum email_id); /* may be null */
    void *arg;
} AcousticSink;

/*
 * Renders the contacts of a uuid[], which must not contain nulls, in order of email_id. Contacts
 * that do not exist get no rows. Reads with the active snapshot.
 */
extern void acoustic_render_contacts(ArrayType *email_ids, const AcousticSink *sink);

#endif
