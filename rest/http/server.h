/*
 * http/server.h: client connections: receives bytes, hands over requests, sends answers. worker.c
 * sets it up; exchange.c answers.
 *
 * It knows sockets, time limits and connection limits, but no resources. One request of a
 * connection is at work at a time; pipelined ones wait. Every request has a deadline, which covers
 * the time from its first byte to the last byte of the answer, and an earlier one for its head.
 */
#ifndef CTMS_REST_HTTP_SERVER_H
#define CTMS_REST_HTTP_SERVER_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>

#include "rest/http/http.h"

typedef struct server server;
/* A request that is to be answered. */
typedef struct server_call server_call;

typedef struct server_events {
    /*
     * A request has arrived. It belongs to the server and is valid until the answer or gone().
     * Answer exactly once, now or later, with server_answer().
     */
    void (*request)(void *arg, server_call *call, const http_request *request);
    /* The request's deadline has passed: answer now. */
    void (*overdue)(void *arg, server_call *call);
    /* The client disconnected before the answer: forget the call. */
    void (*gone)(void *arg, server_call *call, const char *why);
    /* The connection ended before the whole answer was sent. */
    void (*cut_off)(void *arg, const server_call *call, const char *why);
    /* Bytes were refused before they became a request; the server answers by itself. */
    void (*refused)(void *arg, const server_call *call, int status, const char *detail);
    /* Largest body that the request may have. */
    size_t (*body_max)(void *arg, const http_request *request);
} server_events;

typedef struct server_options {
    int connections_max;
    int connections_per_peer_max; /* of one client address; see peer.h */
    /* limit of bytes of requests and answers; above it, connections that hold most are ended */
    size_t buffered_max;
    double head_timeout_s; /* from the first byte of a request to the end of its head */
    double request_timeout_s;
    double keepalive_timeout_s;
} server_options;

/*
 * Serves connections of a listening socket, which still belongs to the caller. The limit of bytes
 * is kept between any two events if base has several priorities.
 */
server *server_new(struct event_base *base, int listening_fd, const server_options *options,
                   const server_events *events, void *arg);
/* Closes all connections at once. */
void server_free(server *s);
/*
 * Accepts no new connections. Each request at work is answered as the last one of its connection.
 * Calls done when no connection is left, at the latest after the request time limit. For idle_s
 * seconds an idle connection may still send a request.
 */
void server_drain(server *s, double idle_s, void (*done)(void *arg), void *arg);
int server_connection_count(const server *s);

/*
 * headers: more header lines, each ending with CRLF, or NULL. The answer to a HEAD request has the
 * length of the body, but not the body.
 */
void server_answer(server_call *call, int status, const char *headers, const char *content_type,
                   const char *body, size_t length);
/* The same with a body that outlives the server: it is not copied, and costs a slow reader nothing.
 */
void server_answer_fixed(server_call *call, int status, const char *headers,
                         const char *content_type, const char *body, size_t length);

/*
 * An answer in pieces, for a request that can take one (server_can_stream()). The call stays at
 * work until its end: also from within server_stream() it may become overdue, and the client may
 * disconnect. Breaking off closes the connection, so that the client notices that the answer is not
 * complete.
 */
bool server_can_stream(const server_call *call);
void
server_begin_stream(server_call *call, int status, const char *headers, const char *content_type);
void server_stream(server_call *call, const char *piece, size_t length);
void server_end_stream(server_call *call);
void server_break_stream(server_call *call);

const char *server_call_host(const server_call *call); /* the client's address */
int server_call_port(const server_call *call);
/* The client sends no more: it has closed the connection, or only its half and still reads. */
bool server_call_is_at_end(const server_call *call);
void server_call_set_context(server_call *call, void *context);
void *server_call_context(const server_call *call);

#endif
