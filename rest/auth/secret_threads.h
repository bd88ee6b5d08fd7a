/*
 * auth/secret_threads.h: a few threads that compute argon2, so that it neither stops the event loop
 * nor uses all processors. secret_check.c gives them work.
 */
#ifndef CTMS_REST_AUTH_SECRET_THREADS_H
#define CTMS_REST_AUTH_SECRET_THREADS_H

#include <event2/event.h>
#include <stdbool.h>

typedef enum secret_result {
    SECRET_MATCHES,
    SECRET_DIFFERS,
    SECRET_NOT_CHECKED, /* too many wait, or there was no memory */
} secret_result;

/* Belongs to the caller, who lets it and its texts stay as they are until it is done. */
typedef struct secret_job {
    const char *secret;
    const char *hash; /* NULL: there is none, it can only differ */
    /* The beginning of a hash, up to the salt. If hash cannot be used, the work is that which it
     * says. NULL, or if it cannot be used either: that for the hashes of `ctms clients add`. */
    const char *cost;
    void *arg;
    secret_result result;
    double work_s; /* how long it took */
    struct secret_job *next;
} secret_job;

typedef struct secret_threads secret_threads;

/* done is called from the event loop. */
secret_threads *secret_threads_new(struct event_base *base, int count,
                                   void (*done)(void *arg, secret_job *job), void *arg);
/* Waits for the jobs that are running; done is not called. */
void secret_threads_free(secret_threads *threads);
int secret_threads_count(const secret_threads *threads);
/* Call it for no more jobs than there are threads. */
void secret_threads_run(secret_threads *threads, secret_job *job);

#endif
