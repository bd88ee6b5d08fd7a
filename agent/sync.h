/*
 * sync.h: carries the queue to Acoustic: claims contacts, sends them, settles them. main.c calls
 * it.
 *
 * It works as a stream, not in rounds. Contacts are claimed ahead of need, so that as many requests
 * as possible are in flight. When the AddRecipient of a contact was accepted, its relational rows
 * wait until a call of 100 rows is full, or until there is nothing else to send.
 */
#ifndef AGENT_SYNC_H
#define AGENT_SYNC_H

#include <event2/event.h>

#include "agent/metrics.h"
#include "agent/service.h"
#include "agent/settings.h"
#include "common/pg_pool.h"

struct sync;

/* Everything in it must outlive the line. */
typedef struct sync_options {
    pg_pool *pool;
    const agent_settings *settings; /* its content may change; then call sync_apply_settings() */
    agent_metrics *metrics;
    void (*cycle_ended)(void *arg); /* may be null */
    void *arg;
} sync_options;

/* Null when libcurl cannot be set up. */
struct sync *sync_new(struct event_base *base, const sync_options *options);
void sync_free(struct sync *s);

/* The queue may have work: a notification came, or the listener is back. */
void sync_look(struct sync *s);
service_health sync_get_health(const struct sync *s);
void sync_apply_settings(struct sync *s);
/* Claims nothing more. Ends the event loop when the requests in flight are finished and the rest is
 * given back, or when the deadline has passed. */
void sync_drain(struct sync *s);

#endif
