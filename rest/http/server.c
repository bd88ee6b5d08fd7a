/*
 * http/server.c: accepts connections, enforces time limits and the memory limit, and drains. Calls
 * connection.c for each connection; see server.h.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "common/clock.h"
#include "rest/http/internal.h"

#define ACCEPTS_AT_ONCE 64
#define TICK_MS 100

int
server_connection_count(const server *s)
{
    return s->call_count;
}

/* ---- accepting ------------------------------------------------------------------------ */

static bool
is_anybody_waiting(const server *s)
{
    struct pollfd poller = {.fd = s->listening_fd, .events = POLLIN};

    return poll(&poller, 1, 0) > 0;
}

/* Ends the connection that can best be spared. Returns false when there is none. */
static bool
make_room(server *s)
{
    server_call *spare = room_find(s, NULL);

    if (spare == NULL)
        return false;
    connection_give_up(spare);
    return true;
}

/* When there is no room, or are no descriptors, and no connection can be spared, new ones wait in
 * the kernel's queue. */
static void
accept_calls(server *s, int limit)
{
    for (int i = 0; i < limit; i++) {
        struct sockaddr_storage address = {0};
        socklen_t length = sizeof(address);
        int fd;

        if (s->call_count >= s->options.connections_max) {
            if (!is_anybody_waiting(s))
                return;
            if (!make_room(s)) {
                listen_stop_accepting(s);
                return;
            }
        }
        fd = accept4(s->listening_fd, (struct sockaddr *)&address, &length,
                     SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            int error = errno;

            /* Without descriptors the kernel says so also when nobody waits. */
            if (error == EMFILE && !is_anybody_waiting(s))
                return;
            if (error == EMFILE && make_room(s))
                continue;
            /* The next tick accepts again. */
            if (error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM)
                listen_stop_accepting(s);
            return;
        }
        connection_add(s, fd, &address);
    }
}

static void
on_acceptable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    accept_calls(arg, ACCEPTS_AT_ONCE);
}

/* ---- time --------------------------------------------------------------------------------- */

static bool
is_too_much(const server *s)
{
    return s->buffered > s->options.buffered_max;
}

/* Ends the connections that hold most, until the rest is below the limit. */
static void
free_bytes(server *s)
{
    for (size_t least = s->options.buffered_max; least > 0 && is_too_much(s); least /= 2) {
        for (server_call *call = s->calls, *next; call != NULL && is_too_much(s); call = next) {
            next = call->next;
            if (call->buffered > least)
                connection_end_greedy(call);
        }
    }
}

static void
on_excess(evutil_socket_t fd, short what, void *arg)
{
    server *s = arg;

    (void)fd;
    (void)what;
    connection_free_closed(s);
    free_bytes(s);
    connection_free_closed(s);
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
    server *s = arg;
    double now = clock_now_s();

    (void)fd;
    (void)what;
    for (server_call *call = s->calls, *next; call != NULL; call = next) {
        /* This call may end now, but no other can. */
        next = call->next;
        if (call->deadline_s < now)
            connection_end_overdue(call);
    }
    connection_free_closed(s);
    listen_start_accepting(s);
    if (s->drain_deadline_s == 0)
        return;
    if (s->call_count == 0 || s->drain_deadline_s < now) {
        event_del(s->tick);
        s->drained(s->drained_arg);
    }
}

void
server_drain(server *s, double idle_s, void (*done)(void *arg), void *arg)
{
    double now = clock_now_s();

    if (s->drain_deadline_s != 0)
        return;
    /* Clients that have already connected are served. */
    accept_calls(s, s->options.connections_max);
    listen_stop_accepting(s);
    s->drain_deadline_s = now + s->options.request_timeout_s;
    s->drain_idle_s = idle_s;
    s->drained = done;
    s->drained_arg = arg;
    for (server_call *call = s->calls; call != NULL; call = call->next) {
        if (call->state == STATE_HEAD && call->in.length == 0 && call->deadline_s > now + idle_s)
            call->deadline_s = now + idle_s;
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

server *
server_new(struct event_base *base, int listening_fd, const server_options *options,
           const server_events *events, void *arg)
{
    server *s = xcalloc(1, sizeof(*s));
    struct timeval tick = {.tv_usec = TICK_MS * 1000};

    s->base = base;
    s->options = *options;
    s->events = *events;
    s->arg = arg;
    s->listening_fd = listening_fd;
    s->acceptable = event_new(base, listening_fd, EV_READ | EV_PERSIST, on_acceptable, s);
    s->tick = event_new(base, -1, EV_PERSIST, on_tick, s);
    s->excess = event_new(base, -1, 0, on_excess, s);
    event_priority_set(s->excess, 0);
    event_add(s->tick, &tick);
    listen_start_accepting(s);
    return s;
}

void
server_free(server *s)
{
    if (s == NULL)
        return;
    s->drain_deadline_s = 1; /* stops accepting */
    while (s->calls != NULL)
        connection_close(s->calls, "server stops");
    connection_free_closed(s);
    event_free(s->acceptable);
    event_free(s->tick);
    event_free(s->excess);
    free(s);
}
