/* bulk_process.h: the process that works on runs by file: starts it, reads what it tells, ends it.
 * bulk.c decides when. */
#ifndef AGENT_BULK_PROCESS_H
#define AGENT_BULK_PROCESS_H

#include <event2/event.h>

#include "agent/bulk_line.h"
#include "agent/bulk_main.h"

typedef struct bulk_process bulk_process;

typedef struct bulk_process_events {
    void (*line)(void *arg, const bulk_line *line);
    void (*ended)(void *arg, const char *how); /* after its last line; may free the object */
    void *arg;
} bulk_process_events;

/* Starts this program anew, with its arguments and the mode. Null, after logging why, when that is
 * not possible. */
bulk_process *bulk_process_start(struct event_base *base, char **arguments, bulk_main_mode mode,
                                 const bulk_process_events *events);
/* Asks it to stop; once. */
void bulk_process_stop(bulk_process *p);
/* Waits until it has ended, at most until the deadline, then kills it. Without the event loop. */
void bulk_process_finish(bulk_process *p, double deadline_s);
/* Frees what is known of a process that has ended. */
void bulk_process_free(bulk_process *p);

#endif
