/*
 * acoustic/layout.h: which columns the rows of each kind have, in which order, and from where.
 */
#ifndef CTMS_ACOUSTIC_LAYOUT_H
#define CTMS_ACOUSTIC_LAYOUT_H

#include "postgres.h"

#include "access/tupdesc.h"

#include "extension/acoustic/fields.h"
#include "extension/acoustic/source.h"
#include "extension/acoustic/value.h"

/*
 * Kinds of rows. A main row lacks the fields of AMO or FxA if the contact has no such row, so
 * there are four kinds; the last bits say which groups it has.
 */
typedef enum AcousticKind {
    ACOUSTIC_MAIN,
    ACOUSTIC_MAIN_AMO,
    ACOUSTIC_MAIN_FXA,
    ACOUSTIC_MAIN_AMO_FXA,
    ACOUSTIC_NEWSLETTER,
    ACOUSTIC_WAITLIST,
    ACOUSTIC_PRODUCT,
    ACOUSTIC_KINDS
} AcousticKind;

typedef enum AcousticColumnSource {
    FROM_COLUMN, /* of the statement */
    FROM_MEMBER, /* a member of the fields of the waitlist row itself */
    /* Of a main row: a member of the fields of a named waitlist, or else a column of its row. */
    FROM_WAITLIST,
    FROM_FLAG /* whether the contact subscribes to a newsletter that sets it */
} AcousticColumnSource;

typedef struct AcousticColumn {
    const char *name;
    const char *key; /* see acoustic_writer_key() */
    AcousticColumnSource from;
    int place; /* of the column, 0 if FROM_WAITLIST has none; or the number of the flag */
    Oid type;
    AcousticStyle style;
    const char *waitlist;
    const char *member;
} AcousticColumn;

/* All columns but the first one, which is the email_id in each kind. */
typedef struct AcousticLayout {
    AcousticColumn *columns;
    int count;
} AcousticLayout;

/* The name of a kind in rows, "main" for four of them; and in files, where each has its own. */
extern const char *acoustic_layout_row_name(AcousticKind kind);
extern const char *acoustic_layout_file_name(AcousticKind kind);

extern AcousticSource acoustic_layout_source(AcousticKind kind);

/*
 * Lays out a kind, in the current memory context. "sources" describe the rows of the statements;
 * that of the kind is needed, and for main rows that of the waitlists.
 */
extern void acoustic_layout_make(AcousticLayout *layout, AcousticKind kind,
                                 const AcousticFields *fields, const TupleDesc *sources);

#endif
