/* auth/secret_threads.c: threads that compare secrets with argon2 hashes; see secret_threads.h. */
#include "rest/auth/secret_threads.h"

#include <argon2.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"

/* The cost of the hashes of `ctms clients add`. */
#define USUAL_COST "$argon2id$v=19$m=19456,t=2,p=1$"
/* What makes a cost a hash: 16 bytes of salt, and 32 bytes that no secret gives. */
#define NO_SECRET "bm8gcmVhbCBzYWx0IGhlcg$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

struct secret_threads {
    pthread_mutex_t lock;
    pthread_cond_t work;
    secret_job *ready;
    secret_job *finished;
    bool is_stopping;
    int count;
    pthread_t *threads;
    int wake_fd;
    struct event *woken;
    void (*done)(void *arg, secret_job *job);
    void *arg;
};

/* Returns false, at once, if the hash cannot be used. */
static bool
compare(const char *hash, const char *secret, secret_result *result)
{
    argon2_type type = strncmp(hash, "$argon2id$", 10) == 0 ? Argon2_id
                       : strncmp(hash, "$argon2i$", 9) == 0 ? Argon2_i
                                                            : Argon2_d;

    switch (argon2_verify(hash, secret, strlen(secret), type)) {
    case ARGON2_OK: *result = SECRET_MATCHES; return true;
    case ARGON2_VERIFY_MISMATCH: *result = SECRET_DIFFERS; return true;
    case ARGON2_MEMORY_ALLOCATION_ERROR:
    case ARGON2_THREAD_FAIL: *result = SECRET_NOT_CHECKED; return true;
    default: return false;
    }
}

/* The work for a hash that is not there, or cannot be used. */
static secret_result
pretend(const char *cost, const char *secret)
{
    secret_result result = SECRET_DIFFERS;
    buf hash = BUF_INIT;

    buf_printf(&hash, "%s%s", cost ? cost : USUAL_COST, NO_SECRET);
    if (!compare(hash.data, secret, &result))
        (void)compare(USUAL_COST NO_SECRET, secret, &result);
    buf_free(&hash);
    return result == SECRET_MATCHES ? SECRET_DIFFERS : result;
}

static void
run_job(secret_job *job)
{
    double begun_s = clock_now_s();

    if (job->hash == NULL || !compare(job->hash, job->secret, &job->result))
        job->result = pretend(job->cost, job->secret);
    job->work_s = clock_now_s() - begun_s;
}

static void *
run_thread(void *arg)
{
    secret_threads *threads = arg;
    const uint64_t one = 1;

    pthread_mutex_lock(&threads->lock);
    while (!threads->is_stopping) {
        secret_job *job = threads->ready;

        if (job == NULL) {
            pthread_cond_wait(&threads->work, &threads->lock);
            continue;
        }
        threads->ready = job->next;
        pthread_mutex_unlock(&threads->lock);
        run_job(job);
        pthread_mutex_lock(&threads->lock);
        job->next = threads->finished;
        threads->finished = job;
        if (write(threads->wake_fd, &one, sizeof(one)) < 0) {
            /* The counter is full, so the loop is awake already. */
        }
    }
    pthread_mutex_unlock(&threads->lock);
    return NULL;
}

static void
on_woken(evutil_socket_t fd, short what, void *arg)
{
    secret_threads *threads = arg;
    secret_job *job, *next;
    uint64_t count;

    (void)what;
    if (read(fd, &count, sizeof(count)) < 0)
        return;
    pthread_mutex_lock(&threads->lock);
    job = threads->finished;
    threads->finished = NULL;
    pthread_mutex_unlock(&threads->lock);
    for (; job != NULL; job = next) {
        next = job->next;
        threads->done(threads->arg, job);
    }
}

secret_threads *
secret_threads_new(struct event_base *base, int count, void (*done)(void *arg, secret_job *job),
                   void *arg)
{
    secret_threads *threads = xcalloc(1, sizeof(*threads));
    sigset_t all, old;

    pthread_mutex_init(&threads->lock, NULL);
    pthread_cond_init(&threads->work, NULL);
    threads->done = done;
    threads->arg = arg;
    threads->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    threads->woken = event_new(base, threads->wake_fd, EV_READ | EV_PERSIST, on_woken, threads);
    event_add(threads->woken, NULL);
    threads->threads = xcalloc((size_t)count, sizeof(pthread_t));
    /* Signals are handled in the thread of the event loop. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    for (int i = 0; i < count; i++) {
        if (pthread_create(&threads->threads[threads->count], NULL, run_thread, threads) == 0)
            threads->count++;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return threads;
}

void
secret_threads_free(secret_threads *threads)
{
    pthread_mutex_lock(&threads->lock);
    threads->is_stopping = true;
    pthread_cond_broadcast(&threads->work);
    pthread_mutex_unlock(&threads->lock);
    for (int i = 0; i < threads->count; i++)
        pthread_join(threads->threads[i], NULL);
    event_free(threads->woken);
    close(threads->wake_fd);
    pthread_cond_destroy(&threads->work);
    pthread_mutex_destroy(&threads->lock);
    free(threads->threads);
    free(threads);
}

int
secret_threads_count(const secret_threads *threads)
{
    return threads->count;
}

void
secret_threads_run(secret_threads *threads, secret_job *job)
{
    pthread_mutex_lock(&threads->lock);
    job->next = threads->ready;
    threads->ready = job;
    pthread_cond_signal(&threads->work);
    pthread_mutex_unlock(&threads->lock);
}
