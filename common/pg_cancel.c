/*
 * pg_cancel.c: asks the server to cancel a statement; see pg_cancel.h. PQcancel() blocks, so it
 * runs in a thread, which knows nothing but what PQgetCancel() has copied and ends by itself.
 */
#include "common/pg_cancel.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

/* Each is a thread. One ends in milliseconds, unless the server's machine does not answer. */
#define UNDER_WAY_MAX 32

static atomic_int under_way;

static void *
ask(void *arg)
{
    PGcancel *cancel = arg;
    char message[256];

    PQcancel(cancel, message, sizeof(message));
    PQfreeCancel(cancel);
    atomic_fetch_sub(&under_way, 1);
    return NULL;
}

/* Signals are for the event loop of the main thread. */
static bool
start_thread(PGcancel *cancel)
{
    sigset_t all, before;
    pthread_t thread;
    bool is_started;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    is_started = pthread_create(&thread, NULL, ask, cancel) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (is_started)
        pthread_detach(thread);
    return is_started;
}

bool
pg_cancel_begin(PGconn *conn)
{
    PGcancel *cancel;

    if (atomic_fetch_add(&under_way, 1) < UNDER_WAY_MAX) {
        cancel = PQgetCancel(conn);
        if (cancel != NULL && start_thread(cancel))
            return true;
        PQfreeCancel(cancel);
    }
    atomic_fetch_sub(&under_way, 1);
    return false;
}
