/*
 * acoustic/writer.h: writes rows of texts, as JSON objects or as records of a CSV file.
 */
#ifndef CTMS_ACOUSTIC_WRITER_H
#define CTMS_ACOUSTIC_WRITER_H

#include "postgres.h"

#include "lib/stringinfo.h"

#include "extension/acoustic/value.h"

typedef enum AcousticForm {
    ACOUSTIC_JSON, /* an object whose values are texts */
    ACOUSTIC_CSV   /* a record of RFC 4180, without names, that ends with LF */
} AcousticForm;

typedef struct AcousticWriter {
    AcousticForm form;
    StringInfoData text; /* the row, once it has ended */
    bool is_first;       /* the next value is the first one of its row */
} AcousticWriter;

/* The text lives in the current memory context. */
extern void acoustic_writer_init(AcousticWriter *writer, AcousticForm form);

/* Begins a row, and forgets the one before. */
extern void acoustic_writer_start(AcousticWriter *writer);
/* key: of acoustic_writer_key(). */
extern void acoustic_writer_put(AcousticWriter *writer, const char *key, const AcousticText *value);
extern void acoustic_writer_end(AcousticWriter *writer);

/* The name of a value as it stands in JSON, with the colon; palloc'd. */
extern char *acoustic_writer_key(const char *name);

#endif
