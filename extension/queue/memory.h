/*
 * queue/memory.h: what is remembered of contacts that were sent, and what was deleted.
 */
#ifndef CTMS_QUEUE_MEMORY_H
#define CTMS_QUEUE_MEMORY_H

#include "postgres.h"

/* The setting ctms.acoustic_skip_unchanged. */
extern bool memory_is_unchanged_skipped;

/* Contacts of one call of an agent, as columns for SQL; memory_add_outcome() makes room. */
typedef struct Outcomes {
    Datum *email_ids; /* uuid */
    Datum *outcomes;  /* text */
    Datum *details;   /* text: hashes as JSON, or an error; null where is_null */
    bool *are_null;
    int count;
    int capacity;
} Outcomes;

extern void
memory_add_outcome(Outcomes *to, Datum email_id, const char *outcome, Datum detail, bool is_null);

/*
 * All within SPI_connect(), for callers that hold the contacts' queue rows.
 *
 * What was sent: stores the hashes of contacts, forgets those of contacts without; "details"
 * are the hashes. And their rows that were noted as deleted are so now.
 */
extern void memory_remember_sent(const Outcomes *finished);
/* What happened, if that is kept; "details" are errors. Now and then removes what is too old. */
extern void memory_write_history(const Outcomes *outcomes);

/* Defines the settings; called once, by _PG_init. */
extern void queue_memory_init(void);

#endif
