/*
 * acoustic/source.h: the stored rows that are rendered, read for many contacts at once.
 */
#ifndef CTMS_ACOUSTIC_SOURCE_H
#define CTMS_ACOUSTIC_SOURCE_H

#include "postgres.h"

#include "executor/spi.h"
#include "utils/array.h"
#include "utils/uuid.h"

typedef enum AcousticSource {
    SOURCE_MAIN,
    SOURCE_NEWSLETTERS,
    SOURCE_WAITLISTS,
    SOURCE_PRODUCTS,
    SOURCES
} AcousticSource;

/* Numbers of columns, from 1; the first of each source is the contact. */
#define MAIN_HAS_AMO 2
#define MAIN_HAS_FXA 3
#define NEWSLETTER_NAME 2
#define NEWSLETTER_SUBSCRIBED 6
#define WAITLIST_NAME 2
#define WAITLIST_FIELDS 8
#define PRODUCT_ID 3
#define PRODUCT_AMOUNT 13
#define PRODUCT_INTERVAL_COUNT 16

/* The rows of one statement in order of contacts, the position of the walk, and one row. */
typedef struct AcousticRows {
    SPITupleTable *table; /* NULL when nothing was read */
    uint64 count;
    uint64 next;
    int name_column;
    uint64 loaded; /* the row that "values" and "nulls" are of; "count" for none */
    Datum *values;
    bool *nulls;
} AcousticRows;

/* The rows of a contact: from first to before end. */
typedef struct AcousticSpan {
    uint64 first, end;
} AcousticSpan;

/*
 * Between SPI_connect() and SPI_finish(), which frees the rows. Reads with the active snapshot.
 * The ids must not be null.
 */
extern void acoustic_source_read(AcousticRows *rows, AcousticSource source, ArrayType *email_ids);

/* Whose row it is. */
extern Datum acoustic_source_contact(const AcousticRows *rows, uint64 row);

/*
 * Moves the walk past the rows of the contact, and returns these, by name (products by id).
 * Contacts must be asked for in order.
 */
extern AcousticSpan acoustic_source_take(AcousticRows *rows, const pg_uuid_t *email_id);

/* Makes it the row whose values can be looked at. */
extern void acoustic_source_load(AcousticRows *rows, uint64 row);
/* Whether a boolean of the loaded row is true; false when it is null. */
extern bool acoustic_source_is_true(const AcousticRows *rows, int column);

#endif
