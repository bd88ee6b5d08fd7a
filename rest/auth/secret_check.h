/*
 * auth/secret_check.h: compares client secrets with argon2 hashes, beside the event loop.
 *
 * A few threads do the work, so that it neither stops the loop nor takes all processors.
 */
#ifndef CTMS_REST_AUTH_SECRET_CHECK_H
#define CTMS_REST_AUTH_SECRET_CHECK_H

#include <event2/event.h>
#include <stdbool.h>

typedef struct secret_checker secret_checker;
typedef struct secret_check secret_check;

typedef void (*secret_callback)(void *arg, bool is_match);

secret_checker *secret_checker_new(struct event_base *base, int threads);
/* Waits for the checks that are being done; callbacks are not called. */
void secret_checker_free(secret_checker *checker);

/*
 * Begins a check; the callback comes from the event loop. hash NULL stands for an unknown
 * client: it takes as long, and never matches. NULL when too many checks wait.
 */
secret_check *secret_check_begin(secret_checker *checker, const char *hash, const char *secret,
                                 secret_callback callback, void *arg);
/* The callback is not called. */
void secret_check_abandon(secret_check *check);

#endif
