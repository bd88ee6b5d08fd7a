/*
 * acoustic/fields.h: which fields are sent to Acoustic, according to ctms.acoustic_field and
 * ctms.acoustic_newsletter_mapping.
 */
#ifndef CTMS_ACOUSTIC_FIELDS_H
#define CTMS_ACOUSTIC_FIELDS_H

#include "postgres.h"

#include "access/tupdesc.h"

#include "extension/acoustic/value.h"

/* The rows that a contact must have for a main field to be sent. */
typedef enum MainGroup { MAIN_EMAIL, MAIN_AMO, MAIN_FXA, MAIN_WAITLIST } MainGroup;

/* One field of the main table and where its value comes from. */
typedef struct MainField {
    const char *name;
    MainGroup group;
    int column; /* of the main statement; unused for MAIN_WAITLIST */
    AcousticStyle style;
    const char *waitlist; /* only for MAIN_WAITLIST: its name, and its field or column */
    const char *waitlist_field;
} MainField;

/* Newsletters that set a flag of the main table. */
typedef struct FlagSource {
    const char *newsletter;
    int flag;
} FlagSource;

typedef struct AcousticFields {
    MainField *main;
    int main_count;
    /* Fields of waitlist rows: the member of "fields", and the name with its prefix. */
    const char **waitlist;
    const char **waitlist_names;
    int waitlist_count;
    const char **flags; /* columns of the main table, each once */
    int flag_count;
    FlagSource *flag_sources;
    int flag_source_count;
} AcousticFields;

/*
 * Reads the configuration into the current memory context; must be called between SPI_connect()
 * and SPI_finish(). "main" describes the rows of the main statement. A configured field is either
 * a column of it or "<waitlist>_waitlist_<field>"; any other field is left out.
 */
extern void acoustic_read_fields(AcousticFields *fields, TupleDesc main);

#endif
