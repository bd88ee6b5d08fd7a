/*
 * pg_pool_internal.h: what the files of the pool share: pg_pool.c (taking requests), pg_pool_lane.c
 * (which of them is sent next, and where), pg_pool_pace.c (how long statements take),
 * pg_pool_size.c (how many connections there are), pg_pool_connection.c (one connection),
 * pg_pool_deadline.c (time limits), pg_pool_statement.c (prepared statements, and what results look
 * like) and pg_pool_request.c (requests and lists of them). No other file includes it.
 */
#ifndef CTMS_COMMON_PG_POOL_INTERNAL_H
#define CTMS_COMMON_PG_POOL_INTERNAL_H

#include "common/pg_connector.h"
#include "common/pg_pool.h"

/* Requests in flight on one connection. A pooler may give a session back when an answer comes, also
 * while the next request is still arriving; the rest of that would go to another session. */
#define PIPELINE_DEPTH 16
#define PIPELINE_DEPTH_POOLED 1
#define STATEMENTS_MAX 64
#define SHORTEST_MAX 16
/* "ctms_", 32 hexadecimal digits and a NUL. */
#define STATEMENT_NAME_SIZE 38

/* What may wait for what: see pg_pool_lane.c. */
typedef enum pool_lane {
    LANE_READ,      /* short, and never waits for a disk: shares its connection */
    LANE_WRITE,     /* may wait for its commit: has its connection for itself */
    LANE_LONG_READ, /* delivers row by row: has its connection for itself */
    LANES,
    LANE_NONE = LANES, /* of a connection that is free */
} pool_lane;

typedef struct request_list {
    pg_request *head;
    pg_request *tail;
} request_list;

typedef struct connection {
    pg_pool *pool;
    pg_connector *connector;
    bool is_kept;    /* opened again when it is lost, and never closed */
    bool is_opening; /* the connector is at work */
    PGconn *pg;      /* NULL while it is away */
    struct event *readable;
    struct event *writable;
    request_list in_flight;
    int in_flight_count;
    pool_lane lane;      /* of what is in flight; LANE_NONE also while the session is set up */
    double head_since_s; /* since when the first in flight is the first */
    double idle_since_s;
    bool is_broken;       /* to be replaced as soon as its results are read */
    bool is_unwanted;     /* to be replaced as soon as nothing is in flight */
    char last_words[200]; /* of the server that ended it; else "" */
    char complaint[400];  /* why it is broken, if the connection itself does not know; else "" */

    bool may_stop_writes;    /* cancelling one never makes a commit skip its wait for a standby */
    double stopping_since_s; /* since when the first in flight is being cancelled; 0: it is not */
    double may_hit_other_until_s; /* a cancellation may still hit a statement that it is not for */

    bool is_pooled;  /* there is a pooler */
    bool is_unnamed; /* prepared statements do not last: each request brings its own */
    int statement_count;
    struct prepared_statement {
        const pg_statement *statement;
        bool is_unusable; /* the server refuses it: requests bring their own */
        char name[STATEMENT_NAME_SIZE];
    } statements[STATEMENTS_MAX];
} connection;

struct pg_request {
    pg_pool *pool;
    const pg_statement *statement;
    pg_callback callback; /* NULL: abandoned */
    void *arg;
    pool_lane lane;
    connection *sent_on; /* NULL: in the queue */
    double deadline_s;
    bool is_sampled;           /* its rows come when it is executed, before its commit */
    bool is_executed;          /* the rows are there; only the commit is waited for */
    unsigned long long key;    /* of a write: hash of what it changes; 0: none */
    int move_count;            /* how often it was taken away from behind a slow one */
    const pg_statement *guard; /* NULL: none */
    bool is_preparing_guard;   /* the result of its Parse comes before all others */
    bool is_preparing;         /* then that of the statement's Parse */
    bool is_guarding;          /* then that of the guard itself */
    bool is_guard_refused;     /* the error is the guard's */
    bool is_unnamed;           /* to be sent, or was sent, without a prepared statement */
    bool was_retried;
    bool was_hit;        /* by a cancellation that was not for it */
    bool is_misfit;      /* a result is not one of this statement */
    bool is_unconfirmed; /* committed, but a standby that should have it may not */
    bool is_streamed;
    bool has_begun; /* rows have been delivered: it cannot be sent again */
    PGresult *result;
    PGresult *error;
    pg_request *next;
    const char *values[]; /* of the statement, then of the guard */
};

struct pg_pool {
    struct event_base *base;
    pg_pool_options options;
    connection *connections; /* as many as there may be */
    request_list queues[LANES];
    int queue_count; /* of all lanes, without abandoned ones */
    int ready_count;
    bool is_away;    /* no connection, and the last attempt failed */
    bool is_limited; /* the server has given fewer connections than there may be */
    double loss_told_s;
    double avoided_s;          /* when all connections were last replaced */
    bool is_connection_wanted; /* something waits only because no connection is free */
    bool is_kept_one_lost;
    double may_grow_from_s;
    unsigned write_count;
    double execution_s;   /* the time that a write executes, in the mean, lately */
    double read_s;        /* the time that a read takes once it is the first, in the mean, lately */
    double last_read_s;   /* when the last read was sent */
    double next_write_s;  /* when the next write may be sent, while there are reads */
    pool_lane last_alone; /* what got the last connection for itself */
    struct {
        const pg_statement *statement;
        double time_s;
    } shortest[SHORTEST_MAX];
    bool has_told_of_limit;
    bool has_told_of_pooler;
    bool has_told_of_isolation;
    double standbys_asked_s; /* when the server was last asked whether commits wait for standbys */
    double standbys_known_s; /* and when it answered */
    bool has_standbys;
    struct event *tick; /* only added while something waits */
    struct event *sweep;
    /* Implemented in pg_pool_lane.c, which stands above pg_pool_connection.c. Sends what waits to
     * the connections that may take it. */
    void (*dispatch)(pg_pool *pool);
};

/* pg_pool_lane.c */
void pg_pool_lane_dispatch(pg_pool *pool);
pool_lane pg_pool_lane_of(const pg_request *request);

/* pg_pool_pace.c */
/* The first in flight takes long: it waits for a lock, say. */
bool pg_pool_pace_is_slow(const connection *conn, double now_s);
/* Whether what has the connection for itself is at work, as far as we know. */
bool pg_pool_pace_is_at_work(const connection *conn, double now_s);
/* True if there are reads that writes have to give way to. */
bool pg_pool_pace_has_reads(const pg_pool *pool, double now_s);
/* Beside reads: no write may be sent now. */
bool pg_pool_pace_is_paused(const pg_pool *pool, double now_s);
void pg_pool_pace_note_read(pg_pool *pool, double now_s);
/* The first in flight, a read, is answered. */
void pg_pool_pace_note_answered(connection *conn, double now_s);
/* True if the server shall tell when the request is executed, before its commit. */
bool pg_pool_pace_is_sampled(pg_pool *pool, const pg_request *request);
/* The first in flight, such a one, is executed. */
void pg_pool_pace_note_executed(connection *conn);

/* pg_pool_size.c */
bool pg_pool_size_init(pg_pool *pool, char *message, size_t message_size);
/* Begins to open connections: those to be kept that were lost, and one more if one is wanted and
 * there may be one more. */
void pg_pool_size_adjust(pg_pool *pool);
/* Closes what has been idle for long. */
void pg_pool_size_shrink(pg_pool *pool, double now_s);

/* pg_pool_request.c */
void pg_pool_list_append(request_list *list, pg_request *request);
/* NULL when the list is empty. */
pg_request *pg_pool_list_take(request_list *list);
/* guard: NULL for none. */
pg_request *pg_pool_request_new(pg_pool *pool, const pg_statement *statement,
                                const char *const *values, const pg_guard *guard);
void pg_pool_request_free(pg_request *request);
/* Delivers what comes before the end of a streamed request; the row still belongs to the caller. */
void pg_pool_request_deliver_part(pg_request *request, pg_status status, const PGresult *row);
/* Calls the callback; what comes for the request later is not wanted any more. */
void pg_pool_request_answer(pg_request *request, pg_status status, const char *message);
/* Calls the callback and frees the request. */
void pg_pool_request_deliver(pg_request *request, pg_status status, const char *message);
/* Puts it back at the front of its queue, to be sent once more. */
void pg_pool_request_requeue(pg_request *request);
/* One that takes its place on its connection, and whose answer nobody wants: what was sent cannot
 * be taken back. */
pg_request *pg_pool_request_stand_in(const pg_request *request);

/* pg_pool_connection.c. Logs what happened to a connection. */
void pg_pool_connection_report(const pg_pool *pool, log_level level, const char *message);
void pg_pool_connection_open(connection *conn, PGconn *pg);
/* Closes the connection, ends its requests, and begins to connect again. */
void pg_pool_connection_lose(connection *conn, const char *reason);
/* Closes the connection; its requests are not told. */
void pg_pool_connection_drop(connection *conn);
/* Sends a request, in the lane that it is in. On failure the connection is broken, and the request
 * has still to be sent. */
bool pg_pool_connection_send(connection *conn, pg_request *request);

/* pg_pool_deadline.c. Answers the requests in flight whose time is over, and has the server stop
 * the first of them. Call it from time to time. Returns false when the server does not: then the
 * connection is of no use. */
bool pg_pool_deadline_sweep(connection *conn, double now_s);
/* The first request in flight is answered: call it before anyone is told. */
void pg_pool_deadline_end(connection *conn);
/* No more results have arrived: has the first request in flight stopped if its time is over. */
void pg_pool_deadline_next(connection *conn);
/* True if the request was cancelled although its time is not over: it can be sent again. */
bool pg_pool_deadline_was_mishit(const connection *conn, const pg_request *request);

/* pg_pool_statement.c. Sends a request as the connection can. False on failure. */
bool pg_pool_statement_send(connection *conn, pg_request *request);
/* The server refused to prepare what it has not told to be prepared. */
void pg_pool_statement_forget_unprepared(connection *conn, const pg_request *request);
/* True if the request failed only because of its prepared statement. From now on the connection
 * does without; the request can be sent again. */
bool pg_pool_statement_can_do_without(connection *conn, pg_request *request);
/* True if this can be a result of the statement, or of the guard if that comes first. Otherwise
 * writes why not. */
bool
pg_pool_statement_fits(const pg_request *request, const PGresult *result, char *why, size_t size);

/* True if the error's SQLSTATE begins with prefix. */
bool pg_pool_has_sqlstate(const PGresult *error, const char *prefix);

#endif
