/*
 * auth/secret_queue.h: whose secret is checked next. secret_check.c asks.
 *
 * Checks wait in shares: one for each address, and in it one for each client id that is asked for,
 * whether there is such a client or not, so that the queue tells nobody which clients there are.
 * Turns go round over the addresses, and in an address over its ids. Every other turn is not of
 * what has waited longest but of what came last, since a crowd that came at once would be a wall
 * for the next one; among addresses, of one that had no turn lately, or not for the longest time.
 *
 * Each share has its bound. Above it, the fullest share loses what came to it last.
 */
#ifndef CTMS_REST_AUTH_SECRET_QUEUE_H
#define CTMS_REST_AUTH_SECRET_QUEUE_H

#include <stdbool.h>

/* A place in the queue: part of what waits there, which owns it. */
typedef struct secret_turn {
    struct secret_turn *parent; /* NULL: does not wait */
    struct secret_turn *previous, *next;
    struct secret_turn *first, *last; /* of a share: what is in it, in the order of coming */
    char *name;                       /* of a share */
    int count;                        /* checks in the share; 1 for a check */
    bool was_newest;                  /* the last turn of the share was of what came last */
} secret_turn;

typedef struct secret_queue {
    secret_turn root;
    int id_max, address_max, all_max;                 /* checks in a share of that kind */
    double (*last_s)(void *arg, const char *address); /* its last turn; 0: not lately */
    void *arg;
} secret_queue;

/*
 * Returns the check that lost its place, or NULL: it may be the new one. The caller's turn must be
 * zero, and stay where it is while it waits.
 */
secret_turn *
secret_queue_add(secret_queue *queue, secret_turn *turn, const char *address, const char *id);
/* Takes the next check out of the queue; NULL when none waits. */
secret_turn *secret_queue_take(secret_queue *queue);
/* Takes a check that waits out of the queue. */
void secret_queue_remove(secret_turn *turn);

#endif
