/*
 * auth/secret_check.h: finds out whether a secret is that of a client, without letting those who
 * guess keep the others waiting. token.c asks.
 *
 * Argon2 is slow on purpose, so few secrets can be checked in a second. That is why
 * - turns are shared out by address and client id (secret_queue.h),
 * - pairs of a client and a secret are remembered (secret_memory.h): one that matched for as long
 *   as its client comes again in time, another for some seconds,
 * - refusals of those who guess wait (secret_pace.h),
 * - a check that nobody waits for any more leaves the queue.
 *
 * None of this depends on whether there is a client of that id, so it tells nobody.
 */
#ifndef CTMS_REST_AUTH_SECRET_CHECK_H
#define CTMS_REST_AUTH_SECRET_CHECK_H

#include <event2/event.h>
#include <stdbool.h>

#include "rest/auth/secret_threads.h"

typedef struct secret_checker secret_checker;
typedef struct secret_check secret_check;

typedef void (*secret_callback)(void *arg, secret_result result);

/* Copied where it has to be. */
typedef struct secret_question {
    const char *address; /* of who asks */
    const char *client_id;
    const char *secret;
    const char *hash; /* NULL for an unknown client */
    const char *cost; /* see secret_threads.h; the same whenever this id is unknown */
    secret_callback callback;
    /* False when whoever asked has closed the connection, or the half of it. May be NULL. */
    bool (*is_awaited)(void *arg);
    void *arg;
} secret_question;

/* A client whose secret matched stands in no line if it comes again within remembered_s. */
secret_checker *secret_checker_new(struct event_base *base, int threads, double remembered_s);
/* Waits for the checks that are running; callbacks are not called. */
void secret_checker_free(secret_checker *checker);

/* The callback is called later, from the event loop. */
secret_check *secret_check_begin(secret_checker *checker, const secret_question *question);
/* The callback will not be called. */
void secret_check_abandon(secret_check *check);

#endif
