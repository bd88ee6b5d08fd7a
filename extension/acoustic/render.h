/*
 * acoustic/render.h: renders the rows that Acoustic gets about contacts.
 */
#ifndef CTMS_ACOUSTIC_RENDER_H
#define CTMS_ACOUSTIC_RENDER_H

#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/array.h"

#include "extension/acoustic/layout.h"
#include "extension/acoustic/writer.h"

/* Receives the rows. Memory that is allocated in a call lives until the contact is done. */
typedef struct AcousticSink {
    AcousticForm form;
    /*
     * Takes a row. name: distinguishes rows of the same kind, empty for main rows; NULL in CSV,
     * where nobody asks. text: the row in the form asked for; must be copied.
     */
    void (*row)(void *arg, Datum email_id, AcousticKind kind, const char *name,
                const StringInfoData *text);
    void (*contact_done)(void *arg, Datum email_id); /* may be null */
    void *arg;
} AcousticSink;

/*
 * Renders the contacts of a uuid[], which must not contain nulls, in order of email_id. Contacts
 * that do not exist get no rows. Reads with the active snapshot.
 */
extern void acoustic_render_contacts(ArrayType *email_ids, const AcousticSink *sink);

/* Lays out all kinds; between SPI_connect() and SPI_finish(), which frees them. */
extern void acoustic_render_layouts(AcousticLayout layouts[ACOUSTIC_KINDS]);

#endif
