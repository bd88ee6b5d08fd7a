/*
 * http/internal.h: what the files of this folder that work with sockets share, from the bottom up:
 * listen.c (the listening socket), connection_write.c (sending), connection.c (one connection),
 * server_call.c (what the receiver of a request may do with it) and server.c (accepting, time,
 * draining). No file outside this folder includes it.
 */
#ifndef CTMS_REST_HTTP_INTERNAL_H
#define CTMS_REST_HTTP_INTERNAL_H

#include <event2/event_struct.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>

#include "rest/http/server.h"

#define READ_SIZE (64 * 1024)

typedef enum call_state {
    STATE_HEAD,      /* waiting for, or reading, the head of a request */
    STATE_BODY,      /* reading its body */
    STATE_WORKING,   /* the request is with the receiver */
    STATE_WRITING,   /* the answer does not fit into the socket yet */
    STATE_LINGERING, /* answered; waiting for the client to close */
} call_state;

struct server_call {
    server *owner;
    server_call *previous, *next;
    int fd;
    struct event readable;
    struct event writable;
    call_state state;
    bool is_closed;    /* only its memory is left */
    bool is_advancing; /* connection_advance() is further up the stack */
    bool is_at_end;    /* the client sends no more */
    bool is_paused;    /* reading is stopped, because enough bytes wait */
    bool will_close;   /* close it after the answer */
    double deadline_s; /* of the request, or of the idle connection */
    size_t buffered;   /* bytes that it holds, as counted by the server */
    size_t scanned;
    buf in;
    buf out;
    size_t out_done;
    http_request *request;
    http_chunks chunks;
    buf body;
    void *context;
    int port;
    char host[INET6_ADDRSTRLEN];
};

struct server {
    struct event_base *base;
    server_options options;
    server_events events;
    void *arg;
    int listening_fd;
    struct event *acceptable;
    struct event *tick;
    server_call *calls;
    server_call *closed; /* to be freed at the next tick */
    int call_count;
    size_t buffered; /* bytes that the connections hold */
    bool is_accepting;
    double drain_deadline_s; /* 0: not draining */
    double drain_idle_s;
    void (*drained)(void *arg);
    void *drained_arg;
    time_t date_time;
    char date[64];
    char scratch[READ_SIZE];
};

/* http/listen.c. Accepts again, if the server may have room for a connection. */
void listen_start_accepting(server *s);
void listen_stop_accepting(server *s);

/* http/connection_write.c. What happened to the bytes that were to be sent. */
typedef enum write_result {
    WRITE_DONE,
    WRITE_WAITS, /* on_writable() will continue */
    WRITE_FAILED,
} write_result;

/* Writes as much as the socket takes. */
write_result connection_write_out(server_call *call);
/* Appends the head of an answer; framing is the header that says where the body ends. */
void connection_write_head(server_call *call, int status, const char *framing, const char *headers,
                           const char *content_type);
/* Appends a whole answer to call->request, or to bytes that could not become a request. */
void connection_write_answer(server_call *call, int status, const char *headers,
                             const char *content_type, const char *body, size_t length);

/* http/connection.c. Adds an accepted socket to the server. */
void connection_add(server *s, int fd, const struct sockaddr_storage *address);
/* Ends it now; if a request is at work, its receiver is told why. */
void connection_close(server_call *call, const char *why);
/* Sends what waits to be sent. When an answer is complete, goes on to the next request, or
 * closes. */
void connection_flush(server_call *call);
/* Processes the bytes that have arrived, until it is the turn of other connections. */
void connection_advance(server_call *call);
/* Must be called after every change of the memory that the connection holds. */
void connection_count_buffered(server_call *call);
/* Too much memory is in use, and this connection is among those that hold most. */
void connection_end_greedy(server_call *call);
/* Its deadline has passed. */
void connection_end_overdue(server_call *call);
/* Frees the memory of closed connections. */
void connection_free_closed(server *s);
/* No byte of a request has arrived, or the last answer has been sent. */
bool connection_is_idle(const server_call *call);

#endif
