/*
 * queue/relations.h: where the queue is.
 */
#ifndef CTMS_QUEUE_RELATIONS_H
#define CTMS_QUEUE_RELATIONS_H

#include "postgres.h"

typedef struct QueueRelations {
    Oid queue;            /* ctms.pending_acoustic */
    Oid emails;           /* ctms.emails */
    Oid id_sequence;      /* of the queue's column id */
    Oid idle_sequence;    /* ctms.acoustic_idle_seq; invalid when there is none */
    Oid deleted_contacts; /* ctms.acoustic_deleted_contact */
    Oid deleted_rows;     /* ctms.acoustic_deleted_row */
    Oid sent;             /* ctms.acoustic_sent */
    bool is_local;        /* rows are where the tables are: Citus keeps them elsewhere */
} QueueRelations;

/* NULL when the extension is not (any more) in this database. Good until the next call. */
extern const QueueRelations *queue_relations(void);

/* Whether the table may have rows; false saves asking one that nobody uses. */
extern bool queue_is_table_used(Oid table);

#endif
