/*
 * replicas.h: the servers of CTMS_DB_READ_URL, and which of them a read goes to. worker.c makes
 * them and replica.c reads from them.
 *
 * Each host of the URL is a server of its own, with a pool of its own. A read goes to the server
 * that has the smallest product of the time that it takes lately and the reads that it has. One
 * that is of no use is left out for a while that becomes longer, and then tried again with single
 * reads: one that stays behind, that is no replica (the list may name the primary too), that is
 * away, or that does not answer.
 */
#ifndef CTMS_REST_REPLICAS_H
#define CTMS_REST_REPLICAS_H

#include "common/config.h"
#include "common/metrics.h"
#include "common/pg_pool.h"

typedef struct replicas replicas;
typedef struct replica replica;

/* What became of a read that was sent to a server; the metrics count it. */
typedef enum replica_outcome {
    REPLICA_ANSWERED,
    REPLICA_BEHIND, /* has not replayed enough, is on another timeline, or is no replica */
    REPLICA_AWAY,   /* refused it, or was lost */
    REPLICA_SLOW,   /* did not answer for so long that the primary was asked */
    REPLICA_OUTCOMES,
    REPLICA_ABANDONED, /* nobody wants the answer any more; not counted */
} replica_outcome;

/* options: of each pool, but for its URL and log_arg. Returns NULL, and a message, when the URL
 * cannot be used. */
replicas *replicas_new(struct event_base *base, const char *url, const pg_pool_options *options,
                       metrics *m, char *message, size_t message_size);
void replicas_free(replicas *all);

/* The server for a read, another one than the last if there is one; NULL: the primary. */
replica *replicas_pick(replicas *all, const replica *last);
/* The primary answers a read. */
void replicas_note_primary(replicas *all);

/* Begins a read, as pg_pool_read(). If that returns NULL, the read has ended already. */
pg_request *
replicas_begin_read(replica *one, const pg_guard *guard, const pg_statement *statement,
                    const char *const *values, bool is_streamed, pg_callback callback, void *arg);
/* The read that began at that time has ended. */
void replicas_end_read(replica *one, replica_outcome outcome, bool is_streamed, double began_s);
/* A streamed read has begun to be answered. */
void replicas_note_heard(replica *one);
/* After this time without an answer the server is to be given up. */
double replicas_get_patience_s(const replica *one);

#endif
