/*
 * http/room.c: which connections wait for their clients, since when, and which of them is to end
 * when a place is needed. See internal.h.
 *
 * Owns the queues. connection.c says when a connection begins to wait and when it ends; server.c
 * and connection.c ask, and end it. A connection that waits for us is in no queue.
 */
#include "common/clock.h"
#include "rest/http/internal.h"

/* A head that needs longer than this gives its place to others before idle connections do: clients
 * send heads at once. */
#define SLOW_HEAD_S 1.0

static void
leave(server_call *call)
{
    room_queue *queue = &call->owner->waiting[call->waits_for];

    if (call->waits_before != NULL)
        call->waits_before->waits_after = call->waits_after;
    else
        queue->first = call->waits_after;
    if (call->waits_after != NULL)
        call->waits_after->waits_before = call->waits_before;
    else
        queue->last = call->waits_before;
}

void
room_wait_for(server_call *call, room_wait what)
{
    room_queue *queue = &call->owner->waiting[what];

    if (call->waits_for == what)
        return;
    if (call->waits_for != ROOM_NOTHING)
        leave(call);
    call->waits_for = what;
    if (what == ROOM_NOTHING)
        return;
    call->waits_since_s = clock_now_s();
    call->waits_before = queue->last;
    call->waits_after = NULL;
    if (queue->last != NULL)
        queue->last->waits_after = call;
    else
        queue->first = call;
    queue->last = call;
}

/* The one of a queue that has waited longest, and for so long; NULL if there is none. */
static server_call *
find_oldest(const server *s, room_wait what, double for_s, const peer *of)
{
    double until_s = clock_now_s() - for_s;
    server_call *call = s->waiting[what].first;

    while (call != NULL && call->waits_since_s <= until_s && of != NULL && call->client != of)
        call = call->waits_after;
    return call != NULL && call->waits_since_s <= until_s ? call : NULL;
}

server_call *
room_find(const server *s, const peer *of)
{
    const struct {
        room_wait what;
        double for_s;
    } order[] = {
        {ROOM_HEAD, SLOW_HEAD_S},
        {ROOM_NEXT, 0},
        {ROOM_HEAD, 0},
        {ROOM_BODY, s->options.head_timeout_s},
        {ROOM_READER, s->options.head_timeout_s},
    };

    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        server_call *call = find_oldest(s, order[i].what, order[i].for_s, of);

        if (call != NULL)
            return call;
    }
    return NULL;
}
