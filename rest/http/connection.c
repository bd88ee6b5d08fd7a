/*
 * http/connection.c: one client connection: its states, and how received bytes become requests.
 * Sending is in connection_write.c, and the server in server.c. See internal.h.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "rest/http/internal.h"

/* Bytes of pipelined requests that may wait, and requests taken before other connections have their
 * turn. */
#define WAITING_MAX (64 * 1024)
#define REQUESTS_PER_TURN 16
/* How long to read after an answer that ends the connection, so that the answer is not cut
 * short. */
#define LINGER_S 2.0

/* ---- life of a connection -------------------------------------------------- */

static void
forget_request(server_call *call)
{
    http_request_free(call->request);
    call->request = NULL;
    buf_free(&call->body);
    call->chunks = (http_chunks){0};
    call->context = NULL;
}

/*
 * Ends the connection now, and tells the receiver of a request at work. The memory stays until the
 * server's next tick, because functions further up the stack may still use it.
 */
void
connection_close(server_call *call, const char *why)
{
    server *s = call->owner;

    if (call->is_closed)
        return;
    call->is_closed = true;
    room_wait_for(call, ROOM_NOTHING);
    peer_leave(&s->peers, call->client);
    event_del(&call->readable);
    event_del(&call->writable);
    close(call->fd);
    if (call->previous != NULL)
        call->previous->next = call->next;
    else
        s->calls = call->next;
    if (call->next != NULL)
        call->next->previous = call->previous;
    call->next = s->closed;
    s->closed = call;
    s->call_count--;
    s->buffered -= call->buffered;
    s->closed_buffered += call->buffered;
    if (call->state == STATE_WORKING)
        s->events.gone(s->arg, call, why);
    else if (call->state == STATE_WRITING && *why != '\0')
        s->events.cut_off(s->arg, call, why);
    listen_start_accepting(s);
}

void
connection_free_closed(server *s)
{
    server_call *call;

    while ((call = s->closed) != NULL) {
        s->closed = call->next;
        forget_request(call);
        buf_free(&call->in);
        buf_free(&call->out);
        free(call);
    }
    s->closed_buffered = 0;
}

void
connection_count_buffered(server_call *call)
{
    server *s = call->owner;
    size_t bytes = call->in.capacity + call->out.capacity + call->body.capacity;
    bool grows;

    if (call->is_closed)
        return;
    if (call->request != NULL)
        bytes += sizeof(*call->request) + call->request->head_length + call->request->body_length;
    grows = bytes > call->buffered;
    s->buffered += bytes - call->buffered;
    call->buffered = bytes;
    /* Functions further up the stack still use connections, so none ends here. */
    if (grows && s->buffered + s->closed_buffered > s->options.buffered_max)
        event_active(s->excess, EV_TIMEOUT, 1);
}

/* ---- after an answer ------------------------------------------------------------- */

static void
resume_reading(server_call *call)
{
    if (call->is_paused && !call->is_at_end && call->in.length <= WAITING_MAX) {
        call->is_paused = false;
        event_add(&call->readable, NULL);
    }
}

static void
start_lingering(server_call *call)
{
    if (call->is_at_end) {
        connection_close(call, "");
        return;
    }
    shutdown(call->fd, SHUT_WR);
    buf_free(&call->in);
    call->state = STATE_LINGERING;
    room_wait_for(call, ROOM_NEXT);
    call->deadline_s = clock_now_s() + LINGER_S;
    resume_reading(call);
}

/*
 * The answer has been sent. If the server drains, a client that was told before that it may send
 * another request has a moment to do so.
 */
static void
finish_answer(server_call *call)
{
    server *s = call->owner;
    double idle_s = s->drain_deadline_s != 0 ? s->drain_idle_s : s->options.keepalive_timeout_s;

    buf_free(&call->out);
    forget_request(call);
    if (call->will_close || (call->is_at_end && call->in.length == 0)) {
        start_lingering(call);
        return;
    }
    call->state = STATE_HEAD;
    room_wait_for(call, call->in.length > 0 ? ROOM_NOTHING : ROOM_NEXT);
    call->scanned = 0;
    call->deadline_s = clock_now_s() + idle_s;
    if (call->in.length == 0)
        buf_free(&call->in);
}

void
connection_flush(server_call *call)
{
    switch (connection_write_out(call)) {
    case WRITE_WAITS:
        if (call->state == STATE_WRITING)
            room_wait_for(call, ROOM_READER);
        break;
    case WRITE_FAILED: connection_close(call, "client is gone"); break;
    case WRITE_DONE:
        if (call->state == STATE_WRITING)
            finish_answer(call);
        break;
    }
}

/* Writes the answer to bytes that never became a request; the last one of the connection. */
static void
write_refusal(server_call *call, int status, const char *detail)
{
    server *s = call->owner;
    char body[128];

    if (detail == NULL)
        detail = http_reason(status);
    s->events.refused(s->arg, call, status, detail);
    call->will_close = true;
    snprintf(body, sizeof(body), "{\"detail\":\"%s\"}", detail);
    connection_write_answer(call, status, status == 503 ? "Retry-After: 1\r\n" : NULL,
                            "application/json", body, strlen(body), false);
}

/* Answers bytes that never became a request, and ends the connection. */
static void
refuse(server_call *call, int status, const char *detail)
{
    write_refusal(call, status, detail);
    call->state = STATE_WRITING;
    connection_flush(call);
    connection_count_buffered(call);
}

/* ---- reading ---------------------------------------------------------------------- */

static void
hand_over(server_call *call)
{
    server *s = call->owner;
    http_request *request = call->request;

    if (call->body.length > 0) {
        request->body_length = call->body.length;
        request->body = buf_steal(&call->body);
    }
    call->state = STATE_WORKING;
    room_wait_for(call, ROOM_NOTHING);
    s->events.request(s->arg, call, request);
}

/*
 * Many clients send the head and the body separately, and their kernels hold the body back until
 * the head is acknowledged. Our kernel would delay the acknowledgement by 40 ms.
 */
static void
acknowledge_now(server_call *call)
{
    int yes = 1;

    setsockopt(call->fd, IPPROTO_TCP, TCP_QUICKACK, &yes, sizeof(yes));
}

static void
start_body(server_call *call)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    http_request *request = call->request;

    call->deadline_s = call->began_s + call->owner->options.request_timeout_s;
    if (request->content_length > call->owner->events.body_max(call->owner->arg, request)) {
        request->is_body_too_large = true;
        hand_over(call);
        return;
    }
    if (!request->is_chunked && request->content_length == 0) {
        hand_over(call);
        return;
    }
    call->state = STATE_BODY;
    room_wait_for(call, ROOM_BODY);
    if (request->expects_continue && call->in.length == 0) {
        buf_append(&call->out, go_on, sizeof(go_on) - 1);
        connection_flush(call);
    } else if (call->in.length == 0) {
        acknowledge_now(call);
    }
}

/* The request begins with its first byte; empty lines before it leave the connection idle. */
static void
begin_request(server_call *call)
{
    const server_options *options = &call->owner->options;

    call->began_s = clock_now_s();
    call->deadline_s = call->began_s + (options->head_timeout_s < options->request_timeout_s
                                            ? options->head_timeout_s
                                            : options->request_timeout_s);
    room_wait_for(call, ROOM_HEAD);
}

/* Returns false when more bytes are needed. */
static bool
read_head(server_call *call)
{
    buf *in = &call->in;
    size_t blank = 0;
    long head_length;
    http_refusal refusal;

    while (blank + 1 < in->length && memcmp(in->data + blank, "\r\n", 2) == 0)
        blank += 2;
    if (blank > 0)
        buf_consume(in, blank);
    if (in->length == 0 || (in->length == 1 && in->data[0] == '\r')) {
        room_wait_for(call, ROOM_NEXT);
        return false;
    }
    if (call->scanned == 0)
        begin_request(call);
    head_length = http_find_head_end(in->data, in->length, &call->scanned);
    if (head_length < 0) {
        refuse(call, 400, NULL);
        return true;
    }
    if (head_length > HTTP_HEAD_MAX || (head_length == 0 && in->length > HTTP_HEAD_MAX)) {
        refuse(call, 431, NULL);
        return true;
    }
    if (head_length == 0)
        return false;
    call->request = http_parse_head(in->data, (size_t)head_length, &refusal);
    buf_consume(in, (size_t)head_length);
    call->scanned = 0;
    if (call->request == NULL)
        refuse(call, refusal.status, refusal.detail);
    else
        start_body(call);
    return true;
}

static bool
read_sized_body(server_call *call)
{
    size_t missing = call->request->content_length - call->body.length;
    size_t count = call->in.length < missing ? call->in.length : missing;

    buf_append(&call->body, buf_text(&call->in), count);
    buf_consume(&call->in, count);
    if (count < missing)
        return false;
    hand_over(call);
    return true;
}

static bool
read_chunked_body(server_call *call)
{
    size_t max = call->owner->events.body_max(call->owner->arg, call->request);

    switch (http_read_chunks(&call->chunks, &call->in, &call->body, max)) {
    case CHUNKS_MORE: return false;
    case CHUNKS_DONE: hand_over(call); break;
    case CHUNKS_BAD: refuse(call, 400, NULL); break;
    case CHUNKS_TOO_LARGE:
        buf_free(&call->body);
        call->request->is_body_too_large = true;
        hand_over(call);
        break;
    }
    return true;
}

/* When an answer is given from within this function, the inner call returns at once, and the loop
 * here continues. */
void
connection_advance(server_call *call)
{
    bool goes_on = true;
    int heads = 0;

    if (call->is_advancing)
        return;
    call->is_advancing = true;
    while (goes_on && !call->is_closed) {
        switch (call->state) {
        case STATE_HEAD: goes_on = heads++ < REQUESTS_PER_TURN && read_head(call); break;
        case STATE_BODY:
            goes_on = call->request->is_chunked ? read_chunked_body(call) : read_sized_body(call);
            break;
        case STATE_WORKING:
        case STATE_WRITING: goes_on = false; break;
        case STATE_LINGERING:
            buf_free(&call->in);
            goes_on = false;
            break;
        }
    }
    call->is_advancing = false;
    connection_count_buffered(call);
    if (call->is_closed)
        return;
    resume_reading(call);
    if (heads > REQUESTS_PER_TURN && call->in.length > 0) {
        /* The event loop comes back here after it has served the others. */
        event_add(&call->writable, NULL);
        return;
    }
    if (!call->is_at_end)
        return;
    if (call->state == STATE_HEAD || call->state == STATE_BODY || call->state == STATE_LINGERING)
        connection_close(call, "");
}

static void
take_bytes(server_call *call, size_t length)
{
    if (call->state == STATE_LINGERING)
        return;
    buf_append(&call->in, call->owner->scratch, length);
    if (call->state != STATE_BODY && call->in.length > WAITING_MAX) {
        call->is_paused = true;
        event_del(&call->readable);
    }
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
    server_call *call = arg;
    ssize_t received = recv(fd, call->owner->scratch, READ_SIZE, 0);

    (void)what;
    if (received > 0) {
        take_bytes(call, (size_t)received);
    } else if (received == 0) {
        /* The client may have closed only its half: a pending answer is still sent. */
        call->is_at_end = true;
        event_del(&call->readable);
    } else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
        connection_close(call, "client is gone");
    }
    if (!call->is_closed)
        connection_advance(call);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
    server_call *call = arg;

    (void)fd;
    (void)what;
    connection_flush(call);
    if (!call->is_closed)
        connection_advance(call);
}

/* ---- from the server -------------------------------------------------- */

void
connection_end_greedy(server_call *call)
{
    switch (call->state) {
    case STATE_HEAD:
    case STATE_BODY:
        call->deadline_s = clock_now_s() + LINGER_S;
        refuse(call, 503, "Service unavailable, try again later");
        break;
    case STATE_WORKING:
        /* The client cannot speed up a request at work, but unsent pieces of a stream wait for
         * it. */
        if (call->out.length > 0)
            connection_close(call, "the client reads too slowly");
        break;
    case STATE_WRITING: connection_close(call, "the client reads too slowly"); break;
    case STATE_LINGERING: break;
    }
}

void
connection_end_overdue(server_call *call)
{
    switch (call->state) {
    case STATE_HEAD:
        if (call->in.length == 0) {
            connection_close(call, "");
            break;
        }
        /* fall through */
    case STATE_BODY:
        call->deadline_s = clock_now_s() + LINGER_S;
        refuse(call, 408, NULL);
        break;
    case STATE_WORKING:
        call->deadline_s = clock_now_s() + LINGER_S;
        call->will_close = true;
        call->owner->events.overdue(call->owner->arg, call);
        break;
    case STATE_WRITING: connection_close(call, "the client took too long to read"); break;
    case STATE_LINGERING: connection_close(call, ""); break;
    }
}

void
connection_give_up(server_call *call)
{
    switch (call->state) {
    case STATE_HEAD:
        if (call->in.length == 0) {
            connection_close(call, "");
            break;
        }
        /* fall through */
    case STATE_BODY:
        /* What the socket does not take at once is not sent. */
        write_refusal(call, 503, "Service unavailable, try again later");
        connection_write_out(call);
        connection_close(call, "");
        break;
    case STATE_WRITING: connection_close(call, "the client reads too slowly"); break;
    case STATE_WORKING:
    case STATE_LINGERING: connection_close(call, ""); break;
    }
}

static void
name_client(server_call *call, const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;

        inet_ntop(AF_INET, &v4->sin_addr, call->host, sizeof(call->host));
        call->port = ntohs(v4->sin_port);
    } else if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;

        inet_ntop(AF_INET6, &v6->sin6_addr, call->host, sizeof(call->host));
        call->port = ntohs(v6->sin6_port);
    }
}

/* Counts the connection for its client. Returns false when the client holds too many that cannot be
 * spared. */
static bool
enter_peer(server_call *call, const struct sockaddr_storage *address)
{
    server *s = call->owner;

    call->client = peer_enter(&s->peers, address);
    while (call->client->connections > s->options.connections_per_peer_max) {
        server_call *spare = room_find(s, call->client);

        if (spare == NULL)
            return false;
        connection_give_up(spare);
    }
    return true;
}

void
connection_add(server *s, int fd, const struct sockaddr_storage *address)
{
    server_call *call = xcalloc(1, sizeof(*call));
    int yes = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    call->owner = s;
    call->fd = fd;
    call->deadline_s = clock_now_s() + s->options.keepalive_timeout_s;
    name_client(call, address);
    call->next = s->calls;
    if (s->calls != NULL)
        s->calls->previous = call;
    s->calls = call;
    s->call_count++;
    event_assign(&call->readable, s->base, fd, EV_READ | EV_PERSIST, on_readable, call);
    event_assign(&call->writable, s->base, fd, EV_WRITE, on_writable, call);
    event_add(&call->readable, NULL);
    if (!enter_peer(call, address)) {
        refuse(call, 503, "too many connections from this address");
        return;
    }
    room_wait_for(call, ROOM_NEXT);
    /* The request has usually arrived already; and a client that has sent something is not idle. */
    on_readable(fd, EV_READ, call);
}
