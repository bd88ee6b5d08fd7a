/*
 * auth/secret_check.c: compares client secrets with argon2 hashes in threads of their own; see
 * secret_check.h.
 */
#include "rest/auth/secret_check.h"

#include <argon2.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/buf.h"

#define WAITING_MAX 64

struct secret_check {
    char *hash;
    char *secret;
    bool is_decoy; /* no such client: the hash is only there to take the time */
    bool is_match;
    secret_callback callback; /* NULL: abandoned; used only in the loop's thread */
    void *arg;
    secret_check *next;
};

struct secret_checker {
    pthread_mutex_t lock;
    pthread_cond_t work;
    secret_check *waiting, *waiting_tail;
    secret_check *finished;
    int waiting_count;
    bool is_stopping;
    int thread_count;
    pthread_t *threads;
    int wake_fd;
    struct event *woken;
    char *decoy; /* a hash as costly as those of real clients; used only in the loop's thread */
};

static bool
is_secret_of(const char *hash, const char *secret)
{
    argon2_type type = strncmp(hash, "$argon2id$", 10) == 0 ? Argon2_id
                       : strncmp(hash, "$argon2i$", 9) == 0 ? Argon2_i
                                                            : Argon2_d;

    return argon2_verify(hash, secret, strlen(secret), type) == ARGON2_OK;
}

static void
free_check(secret_check *check)
{
    explicit_bzero(check->secret, strlen(check->secret));
    free(check->secret);
    free(check->hash);
    free(check);
}

static void *
run_thread(void *arg)
{
    secret_checker *checker = arg;
    const uint64_t one = 1;

    pthread_mutex_lock(&checker->lock);
    while (!checker->is_stopping) {
        secret_check *check = checker->waiting;

        if (check == NULL) {
            pthread_cond_wait(&checker->work, &checker->lock);
            continue;
        }
        checker->waiting = check->next;
        if (checker->waiting == NULL)
            checker->waiting_tail = NULL;
        checker->waiting_count--;
        pthread_mutex_unlock(&checker->lock);
        check->is_match = is_secret_of(check->hash, check->secret) && !check->is_decoy;
        pthread_mutex_lock(&checker->lock);
        check->next = checker->finished;
        checker->finished = check;
        if (write(checker->wake_fd, &one, sizeof(one)) < 0) {
            /* The counter is full, so the loop is awake already. */
        }
    }
    pthread_mutex_unlock(&checker->lock);
    return NULL;
}

static void
on_woken(evutil_socket_t fd, short what, void *arg)
{
    secret_checker *checker = arg;
    secret_check *check, *next;
    uint64_t count;

    (void)what;
    if (read(fd, &count, sizeof(count)) < 0)
        return;
    pthread_mutex_lock(&checker->lock);
    check = checker->finished;
    checker->finished = NULL;
    pthread_mutex_unlock(&checker->lock);
    for (; check != NULL; check = next) {
        next = check->next;
        if (check->callback != NULL)
            check->callback(check->arg, check->is_match);
        free_check(check);
    }
}

/* The decoy until a real hash has been seen, with the parameters of `ctms clients add`. */
static char *
first_decoy(void)
{
    char encoded[256] = "";

    argon2id_hash_encoded(2, 19456, 1, "decoy", 5, "no real salt", 12, 32, encoded,
                          sizeof(encoded));
    return xstrdup(encoded);
}

secret_checker *
secret_checker_new(struct event_base *base, int threads)
{
    secret_checker *checker = xcalloc(1, sizeof(*checker));
    sigset_t all, old;

    pthread_mutex_init(&checker->lock, NULL);
    pthread_cond_init(&checker->work, NULL);
    checker->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    checker->woken = event_new(base, checker->wake_fd, EV_READ | EV_PERSIST, on_woken, checker);
    event_add(checker->woken, NULL);
    checker->decoy = first_decoy();
    checker->threads = xcalloc((size_t)threads, sizeof(pthread_t));
    /* Signals are handled in the thread of the event loop. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    for (int i = 0; i < threads; i++) {
        if (pthread_create(&checker->threads[checker->thread_count], NULL, run_thread, checker) ==
            0)
            checker->thread_count++;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return checker;
}

void
secret_checker_free(secret_checker *checker)
{
    secret_check *lists[2];

    if (checker == NULL)
        return;
    pthread_mutex_lock(&checker->lock);
    checker->is_stopping = true;
    pthread_cond_broadcast(&checker->work);
    pthread_mutex_unlock(&checker->lock);
    for (int i = 0; i < checker->thread_count; i++)
        pthread_join(checker->threads[i], NULL);
    lists[0] = checker->waiting;
    lists[1] = checker->finished;
    for (int i = 0; i < 2; i++) {
        for (secret_check *check = lists[i], *next; check != NULL; check = next) {
            next = check->next;
            free_check(check);
        }
    }
    event_free(checker->woken);
    close(checker->wake_fd);
    pthread_cond_destroy(&checker->work);
    pthread_mutex_destroy(&checker->lock);
    free(checker->threads);
    free(checker->decoy);
    free(checker);
}

secret_check *
secret_check_begin(secret_checker *checker, const char *hash, const char *secret,
                   secret_callback callback, void *arg)
{
    secret_check *check = xcalloc(1, sizeof(*check));

    if (hash != NULL && strcmp(hash, checker->decoy) != 0) {
        free(checker->decoy);
        checker->decoy = xstrdup(hash);
    }
    check->hash = xstrdup(hash ? hash : checker->decoy);
    check->secret = xstrdup(secret);
    check->is_decoy = hash == NULL;
    check->callback = callback;
    check->arg = arg;
    pthread_mutex_lock(&checker->lock);
    if (checker->waiting_count >= WAITING_MAX || checker->thread_count == 0) {
        pthread_mutex_unlock(&checker->lock);
        free_check(check);
        return NULL;
    }
    if (checker->waiting_tail != NULL)
        checker->waiting_tail->next = check;
    else
        checker->waiting = check;
    checker->waiting_tail = check;
    checker->waiting_count++;
    pthread_cond_signal(&checker->work);
    pthread_mutex_unlock(&checker->lock);
    return check;
}

void
secret_check_abandon(secret_check *check)
{
    check->callback = NULL;
}
