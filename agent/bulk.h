/*
 * bulk.h: waves by file: starts a process that works on runs (bulk_main.c) when the bulk lane holds
 * very many contacts, or when nobody goes on with a run. main.c sets it up.
 *
 * Each loop interval it asks the database how things are. There is one such process at a time; what
 * it tells is logged and counted here.
 */
#ifndef AGENT_BULK_H
#define AGENT_BULK_H

#include <event2/event.h>

#include "agent/metrics.h"
#include "agent/settings.h"
#include "common/pg_pool.h"

typedef struct agent_bulk agent_bulk;

/* Everything in it must outlive the object. */
typedef struct agent_bulk_options {
    pg_pool *pool;
    const agent_settings *settings; /* may change; then call agent_bulk_apply_settings() */
    agent_metrics *metrics;
    char **arguments; /* of the program; the process gets them too */
} agent_bulk_options;

agent_bulk *agent_bulk_new(struct event_base *base, const agent_bulk_options *options);
void agent_bulk_apply_settings(agent_bulk *b);
/* Begins nothing more, and tells the process to stop. */
void agent_bulk_stop(agent_bulk *b);
/* Waits for the process, as long as the agent may take to stop, and then kills it: whoever runs
 * next goes on. */
void agent_bulk_free(agent_bulk *b);

#endif
