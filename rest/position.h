/*
 * position.h: where the primary is in its write-ahead log. replica.c asks for each read.
 *
 * An answer is for those who asked before its statement was sent: it is then at or behind all that
 * they may have seen. One statement is under way at a time; all who come meanwhile share the next
 * one, so many reads cost the primary little more than one.
 */
#ifndef CTMS_REST_POSITION_H
#define CTMS_REST_POSITION_H

#include "common/pg_pool.h"

typedef struct position {
    char timeline[16];
    char lsn[32];
    char snapshot[512]; /* "" if it is longer: many transactions are under way */
    char cluster[32];   /* its system identifier */
} position;

typedef struct position_source position_source;
typedef struct position_wait position_wait;

/* at: NULL if the primary did not tell it. */
typedef void (*position_callback)(void *arg, const position *at);

/* The pool of the primary, which must live longer. timeout_s: for an answer; all reads wait for it
 * when its connection hangs, so it must leave them time to be answered by the primary. */
position_source *position_source_new(pg_pool *primary, double timeout_s);
void position_source_free(position_source *source);

/* Calls back once, later. NULL, and no call, if the primary is away. */
position_wait *position_ask(position_source *source, position_callback callback, void *arg);
/* The callback is not called. */
void position_abandon(position_wait *wait);

#endif
