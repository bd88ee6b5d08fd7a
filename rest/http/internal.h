/*
 * http/internal.h: what the files of this folder that work with sockets share, from the bottom up:
 * listen.c (the listening socket), room.c (whose place a new connection gets), connection_write.c
 * (sending), connection.c (one connection), server_call.c (what the receiver of a request may do
 * with it) and server.c (accepting, time, draining). No file outside this folder includes it.
 */
#ifndef CTMS_REST_HTTP_INTERNAL_H
#define CTMS_REST_HTTP_INTERNAL_H

#include <event2/event_struct.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>

#include "rest/http/peer.h"
#include "rest/http/server.h"

#define READ_SIZE (64 * 1024)

typedef enum call_state {
    STATE_HEAD,      /* waiting for, or reading, the head of a request */
    STATE_BODY,      /* reading its body */
    STATE_WORKING,   /* the request is with the receiver */
    STATE_WRITING,   /* the answer does not fit into the socket yet */
    STATE_LINGERING, /* answered; waiting for the client to close */
} call_state;

/* What a connection waits for from its client. */
typedef enum room_wait {
    ROOM_NOTHING, /* the request is with the receiver */
    ROOM_NEXT,    /* the first byte of a request, or the end of the connection */
    ROOM_HEAD,    /* the rest of a head */
    ROOM_BODY,    /* the rest of a body */
    ROOM_READER,  /* that it reads the answer */
    ROOM_WAITS,   /* how many there are */
} room_wait;

/* Those that wait for the same, the oldest first. */
typedef struct room_queue {
    server_call *first, *last;
} room_queue;

struct server_call {
    server *owner;
    server_call *previous, *next;
    room_wait waits_for;
    server_call *waits_before, *waits_after; /* in its queue */
    double waits_since_s;
    peer *client;
    int fd;
    struct event readable;
    struct event writable;
    call_state state;
    bool is_closed;    /* only its memory is left */
    bool is_advancing; /* connection_advance() is further up the stack */
    bool is_at_end;    /* the client sends no more */
    bool is_paused;    /* reading is stopped, because enough bytes wait */
    bool will_close;   /* close it after the answer */
    double began_s;    /* when the first byte of the request arrived */
    double deadline_s; /* of the head, of the request, or of the idle connection */
    size_t buffered;   /* bytes that it holds, as counted by the server */
    size_t scanned;
    buf in;
    buf out;
    size_t out_done;
    const char *fixed; /* bytes to send after out; not ours, and not counted */
    size_t fixed_length;
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
    room_queue waiting[ROOM_WAITS];
    peer_table peers;
    size_t buffered;        /* bytes that the connections hold */
    size_t closed_buffered; /* bytes of closed connections, until they are freed */
    struct event *excess;   /* there are more than allowed; before all other events */
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

/* http/room.c. The connection begins to wait, unless it waits for that already. */
void room_wait_for(server_call *call, room_wait what);
/*
 * The connection that can best be spared, of one client or (NULL) of any: heads that are slow to
 * come, idle connections, other heads, and last bodies that are slow to come and answers that are
 * not read; of each, the one that has waited longest. NULL when there is none.
 */
server_call *room_find(const server *s, const peer *of);

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
/* Appends a whole answer to call->request, or to bytes that could not become a request. The body
 * is copied, unless it is fixed. */
void
connection_write_answer(server_call *call, int status, const char *headers,
                        const char *content_type, const char *body, size_t length, bool is_fixed);

/* http/connection.c. Adds an accepted socket to the server. */
void connection_add(server *s, int fd, const struct sockaddr_storage *address);
/* Ends it now; if a request is at work, its receiver is told why. */
void connection_close(server_call *call, const char *why);
/* Sends what waits to be sent. When an answer is complete, goes on to the next request, or
 * closes. */
void connection_flush(server_call *call);
/* Processes the bytes that have arrived, until it is the turn of other connections. */
void connection_advance(server_call *call);
/* Must be called after every change of the memory that the connection holds. If it is too much,
 * connections that hold most end before the next event. */
void connection_count_buffered(server_call *call);
/* Too much memory is in use, and this connection is among those that hold most. */
void connection_end_greedy(server_call *call);
/* Its deadline has passed. */
void connection_end_overdue(server_call *call);
/* It waits for its client, and another connection needs its place: ends it now. */
void connection_give_up(server_call *call);
/* Frees the memory of closed connections. */
void connection_free_closed(server *s);

#endif
