/*
 * queue/memory.h: remembers what was sent of contacts, and what was deleted.
 */
#ifndef CTMS_QUEUE_MEMORY_H
#define CTMS_QUEUE_MEMORY_H

#include "postgres.h"

/*
 * The contacts of one call of an agent, as columns for SQL. memory_add_outcome() grows the
 * arrays.
 */
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
 * All of these run within SPI_connect(), and the caller must hold the queue rows of the contacts.
 *
 * Remembers what was sent: stores the hashes of contacts, and forgets those of contacts that come
 * without. "details" are the hashes. It also removes the notes of the contacts' deleted rows,
 * because Acoustic now knows of them.
 */
extern void memory_remember_sent(const Outcomes *finished);
/* Whether the history has all outcomes, not only failures and deletions. */
extern bool memory_keeps_sent(void);
/*
 * Writes the outcomes to the history, if one is kept; "details" are errors. From time to time it
 * removes rows that are too old, or too many.
 */
extern void memory_write_history(const Outcomes *outcomes);

#endif
