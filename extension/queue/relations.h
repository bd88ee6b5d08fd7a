/*
 * queue/relations.h: the OIDs of the queue's tables and sequences.
 */
#ifndef CTMS_QUEUE_RELATIONS_H
#define CTMS_QUEUE_RELATIONS_H

#include "postgres.h"

typedef struct QueueRelations {
    Oid queue;            /* ctms.pending_acoustic */
    Oid emails;           /* ctms.emails */
    Oid flush;            /* ctms._queue_flush, whose trigger writes the queue */
    Oid idle_sequence;    /* ctms.acoustic_idle_seq; invalid when it does not exist */
    Oid deleted_contacts; /* ctms.acoustic_deleted_contact */
    Oid deleted_rows;     /* ctms.acoustic_deleted_row */
    Oid sent;             /* ctms.acoustic_sent */
    bool is_local;        /* the rows are on this server: Citus keeps them elsewhere */
} QueueRelations;

/*
 * Raises an error when the tables are not there: the schema was renamed, or the extension was
 * dropped. Valid until the next call.
 */
extern const QueueRelations *queue_relations(void);

/* Whether the table may have rows. False saves a query on a table that nobody uses. */
extern bool queue_is_table_used(Oid table);

#endif
