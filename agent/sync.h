/*
 * sync.h: carries the queue to Acoustic: claims contacts, sends them, settles them.
 *
 * A stream, not rounds: contacts are claimed ahead of need, so that as many requests are in
 * flight as may be; the relational rows of contacts whose AddRecipient was accepted wait
 * until a call of 100 rows is full, or nothing better is to be done.
 */
#ifndef AGENT_SYNC_H
#define AGENT_SYNC_H

#include <event2/event.h>

#include "agent/metrics.h"
#include "agent/service.h"
#include "agent/settings.h"
#include "common/pg_pool.h"

struct sync;

/* All of it must outlive the line. */
typedef struct sync_options {
    pg_pool *pool;
    const agent_settings *settings; /* may change under it: sync_apply_settings() */
    agent_metrics *metrics;
    void (*cycle_ended)(void *arg); /* may be null */
    void *arg;
} sync_options;

/* Null when libcurl cannot be set up. */
struct sync *sync_new(struct event_base *base, const sync_options *options);
void sync_free(struct sync *s);

/* There may be work: a notification, or the listener is back. */
void sync_look(struct sync *s);
service_health sync_get_health(const struct sync *s);
void sync_apply_settings(struct sync *s);
/* No new claim; ends the event loop when what is in flight is finished and the rest is
 * given back, or when the deadline has passed. */
void sync_drain(struct sync *s);

#endif
