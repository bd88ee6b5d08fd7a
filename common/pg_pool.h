/*
 * pg_pool.h: many requests over few connections to PostgreSQL, from the event loop. The REST server
 * and the agent use it.
 *
 * Each request is one prepared statement and one transaction of its own. Reads share a few
 * connections, on which they are sent without waiting for the answers to earlier ones. A write has
 * a connection for itself until it is committed, so nobody waits for its disk; nobody waits for a
 * slow statement either. Connections are opened when they are needed and closed when they are idle:
 * docs/decisions/database-connections.md. The pool is not for transactions of several statements,
 * COPY, or results that do not fit into memory.
 *
 * Each request ends in exactly one call of its callback, from the event loop, never from within
 * pg_pool_query(). For a streamed request, calls with its rows come before that one.
 *
 * It also works through a pooler, whichever session each transaction gets: prepared statements are
 * named after their text, a result is checked before anyone reads it, and where prepared statements
 * are not kept, requests are sent without them.
 */
#ifndef CTMS_COMMON_PG_POOL_H
#define CTMS_COMMON_PG_POOL_H

#include <event2/event.h>
#include <libpq-fe.h>
#include <stdbool.h>

#include "common/log.h"

typedef struct pg_pool pg_pool;
typedef struct pg_request pg_request;

typedef enum pg_rows {
    PG_ONE_ROW,  /* never fewer, never more */
    PG_ANY_ROWS, /* none, one or many */
} pg_rows;

/* Must outlive the pool, because connections remember statements by their address. */
typedef struct pg_statement {
    const char *sql; /* parameters $1, $2 …; all are sent as text of unknown type */
    int parameter_count;
    bool is_read_only; /* may be sent again when the connection is lost */
    /* What a result must look like; a callback never sees any other. */
    const char *columns; /* their names, with commas between them */
    pg_rows rows;
    /* A write that changes what its first parameter names: of several for the same, one is sent
     * after the other. They would wait for each other's lock, each on a connection of its own. */
    bool is_keyed;
} pg_statement;

/*
 * A statement that must succeed before a read is executed, or the read is not. Both are sent as
 * one, so one session executes them, in one transaction, also behind a pooler or a balancer of
 * connections.
 */
typedef struct pg_guard {
    const pg_statement *statement;
    const char *const *values; /* copied */
} pg_guard;

typedef enum pg_status {
    PG_GUARD_HELD,  /* of a streamed request: its guard has succeeded, and more calls follow */
    PG_ROW,         /* of a streamed request: result holds one row, and more calls follow */
    PG_OK,          /* done and committed; result holds the rows */
    PG_ERROR,       /* the server refused: see sqlstate, message, detail; nothing was changed */
    PG_LOST,        /* connection lost, or no answer in time: a write may have been done */
    PG_UNAVAILABLE, /* the database is away, or took too long: nothing was done */
} pg_status;

typedef struct pg_reply {
    pg_status status;
    const PGresult *result; /* of PG_OK and PG_ROW; valid during the callback */
    const char *sqlstate;   /* never NULL; "" unless PG_ERROR */
    const char *message; /* never NULL; for PG_ERROR the primary message, otherwise what happened */
    const char *detail;  /* NULL when there is none */
    bool was_retried;    /* after a deadlock, serialisation failure or lost connection */
    bool is_of_guard;    /* PG_ERROR: the guard was refused, and the statement not executed */
} pg_reply;

/* True if the SQLSTATE begins with prefix; two characters are a class. */
bool pg_reply_has_sqlstate(const pg_reply *reply, const char *prefix);

typedef void (*pg_callback)(void *arg, const pg_reply *reply);

typedef struct pg_pool_options {
    const char *url;         /* as CTMS_DB_URL */
    const char *application; /* the name that pg_stat_activity shows */
    int connections;         /* the most that there may be */
    bool does_reads_first;   /* writes give way to reads: both come from many clients */
    int queue_max;           /* requests that may wait for a connection */
    /* For a request: waiting for a connection and for the requests before it is included. What runs
     * then is cancelled. It is also the statement_timeout of sessions that are ours alone. */
    double timeout_s;
    void (*log)(void *arg, log_level level, const char *message); /* may be NULL */
    void *log_arg;
} pg_pool_options;

/* Starts connecting. Returns NULL, with a message, when the URL cannot be parsed. */
pg_pool *pg_pool_new(struct event_base *base, const pg_pool_options *options, char *message,
                     size_t message_size);
/* Ends all connections; callbacks of unfinished requests are not called. */
void pg_pool_free(pg_pool *pool);

/*
 * Sends or queues a request. values (NULL for SQL NULL) are copied. When the database is away or
 * the queue is full it returns NULL and the callback is never called: try again later.
 */
pg_request *pg_pool_query(pg_pool *pool, const pg_statement *statement, const char *const *values,
                          pg_callback callback, void *arg);
/* The same, but each row is delivered as soon as it arrives. */
pg_request *pg_pool_stream(pg_pool *pool, const pg_statement *statement, const char *const *values,
                           pg_callback callback, void *arg);
/* Like pg_pool_query() or pg_pool_stream(), for a statement that only reads, with a guard. */
pg_request *
pg_pool_read(pg_pool *pool, const pg_guard *guard, const pg_statement *statement,
             const char *const *values, bool is_streamed, pg_callback callback, void *arg);
/* The request has until then, if its own time limit does not end before (time of common/clock.h).
 */
void pg_request_end_by(pg_request *request, double deadline_s);
/* The caller no longer wants the answer: the callback is not called. A statement that was sent may
 * still be executed. */
void pg_request_abandon(pg_request *request);

/* A connection is open. */
bool pg_pool_is_ready(const pg_pool *pool);

#endif
