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

#include "pg_pool.h"
#include "settings.h"

typedef struct sync sync_line;

/* settings must outlive it and may change under it (sync_settings_changed()). Null when
 * libcurl cannot be set up. */
sync_line *sync_new(struct event_base *base, pg_pool *pool, const agent_settings *settings);
void sync_free(sync_line *s);

/* There may be work: a notification, or the listener is back. */
void sync_look(sync_line *s);
void sync_settings_changed(sync_line *s);
/* No new claim; ends the event loop when what is in flight is finished and the rest is
 * given back, or when the deadline has passed. */
void sync_drain(sync_line *s);

#endif
