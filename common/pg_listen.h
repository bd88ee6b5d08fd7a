/*
 * pg_listen.h: LISTEN on a connection of its own, which is opened again whenever it is lost. Used
 * by the REST server and the agent.
 *
 * A notification is only a hint, because the connection may be lost for a while. So check for
 * changes whenever the callback says that listening has begun (again), and also poll.
 */
#ifndef CTMS_COMMON_PG_LISTEN_H
#define CTMS_COMMON_PG_LISTEN_H

#include <event2/event.h>
#include <stddef.h>

typedef struct pg_listener pg_listener;

typedef struct pg_listener_events {
    /* LISTEN is in effect, for the first time or again. Notifications from before may have been
     * missed. */
    void (*listening)(void *arg);
    void (*notified)(void *arg, const char *channel);
    /* The connection was lost or could not be opened; it is being tried again. May be NULL. */
    void (*lost)(void *arg, const char *message);
} pg_listener_events;

/*
 * channels ends with NULL. Names are used as they are, so they must be plain identifiers. url must
 * reach the server directly, not through a pooler. Returns NULL, with a message, when the URL
 * cannot be parsed.
 */
pg_listener *pg_listener_new(struct event_base *base, const char *url, const char *application,
                             const char *const *channels, const pg_listener_events *events,
                             void *arg, char *message, size_t message_size);
void pg_listener_free(pg_listener *listener);

#endif
