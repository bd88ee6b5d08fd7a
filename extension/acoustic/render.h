/*
 * acoustic/render.h: what Acoustic is to know of contacts, row by row.
 */
#ifndef CTMS_ACOUSTIC_RENDER_H
#define CTMS_ACOUSTIC_RENDER_H

#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/array.h"

/* Who gets the rows. What is allocated in a call lives until the contact is done. */
typedef struct AcousticSink {
    /*
     * A row. kind: "main", "newsletter", "waitlist" or "product"; name: what tells it from
     * others of its kind, empty for "main"; json: an object of texts, to be copied.
     */
    void (*row)(void *arg, Datum email_id, const char *kind, const char *name,
                const StringInfoData *json);
    void (*contact_done)(void *arg, Datum email_id); /* may be null */
    void *arg;
} AcousticSink;

/*
 * Renders the contacts of a uuid[], without nulls, in order of email_id; those that do not exist
 * have no rows. Reads with the active snapshot.
 */
extern void acoustic_render_contacts(ArrayType *email_ids, const AcousticSink *sink);

#endif
