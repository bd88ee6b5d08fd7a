/*
 * auth/secret_check.h: compares client secrets with argon2 hashes, outside the event loop. token.c
 * calls it.
 *
 * A few threads do the work, so that it neither stops the loop nor uses all processors.
 */
#ifndef CTMS_REST_AUTH_SECRET_CHECK_H
#define CTMS_REST_AUTH_SECRET_CHECK_H

#include <event2/event.h>
#include <stdbool.h>

typedef struct secret_checker secret_checker;
typedef struct secret_check secret_check;

typedef void (*secret_callback)(void *arg, bool is_match);

secret_checker *secret_checker_new(struct event_base *base, int threads);
/* Waits for the checks that are running; callbacks are not called. */
void secret_checker_free(secret_checker *checker);

/*
 * Begins a check; the callback is called from the event loop. hash is NULL for an unknown client:
 * the check then takes the same time and never matches. Returns NULL when too many checks wait.
 */
secret_check *secret_check_begin(secret_checker *checker, const char *hash, const char *secret,
                                 secret_callback callback, void *arg);
/* The callback will not be called. */
void secret_check_abandon(secret_check *check);

#endif
