/*
 * pg_listen.h: LISTEN on a connection of its own, which is opened again whenever it is lost. Used
 * by the REST server and the agent.
 *
 * A notification is only a hint, because the connection may be lost for a while. So check for
 * changes whenever the callback says that listening has begun (again), and also poll.
 *
 * LISTEN succeeds through a pooler that gives each transaction another session, but then nothing is
 * heard. So the listener counts as deaf until it has heard a notification that it sent itself, over
 * another connection. It repeats that from time to time.
 */
#ifndef CTMS_COMMON_PG_LISTEN_H
#define CTMS_COMMON_PG_LISTEN_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/pg_pool.h"

typedef struct pg_listener pg_listener;

typedef struct pg_listener_events {
    /* Notifications arrive, for the first time or again. Some from before may have been missed. */
    void (*listening)(void *arg);
    void (*notified)(void *arg, const char *channel);
    /* Notifications do not arrive: the connection was lost or could not be opened, or the listener
     * is deaf. This is said each time that it is noticed. May be NULL. */
    void (*lost)(void *arg, const char *message);
} pg_listener_events;

typedef struct pg_listener_options {
    const char *url;         /* must reach the server directly, not through a pooler */
    const char *application; /* the name that pg_stat_activity shows */
    /* Ends with NULL. Names are used as they are, so they must be plain identifiers. */
    const char *const *channels;
    pg_pool *pool; /* sends the notifications to itself; must outlive the listener */
} pg_listener_options;

/* Returns NULL, with a message, when the URL cannot be parsed. */
pg_listener *
pg_listener_new(struct event_base *base, const pg_listener_options *options,
                const pg_listener_events *events, void *arg, char *message, size_t message_size);
void pg_listener_free(pg_listener *listener);

/* True if notifications are known to arrive. */
bool pg_listener_is_listening(const pg_listener *listener);

#endif
