/*
 * supervisor.c: the parent of the server processes: starts, watches and replaces them. A worker's
 * own work is in worker.c. See supervisor.h.
 */
#include "rest/supervisor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"
#include "rest/worker.h"

#define LOG_TYPE "ctms.rest"
#define TICK_MS 50
/* A worker that dies within this time is not restarted at once. */
#define YOUNG_S 5.0
#define RESTART_WAIT_S 1.0
/* How long to wait for a new worker before the old one is stopped anyway. */
#define READY_WAIT_S 10.0

typedef struct place {
    int listening_fd;
    pid_t pid;        /* the current worker; 0: none */
    pid_t old_pid;    /* the worker that is being replaced; 0: none */
    int ready_fd;     /* tells when the worker is ready; -1: not waiting for that */
    double started_s; /* of the worker */
    double restart_s; /* when to start another worker; 0: not planned */
    int died_status; /* how the last worker died, if it was not asked to end; 0: reported already */
    bool is_to_replace; /* it runs with old settings */
} place;

typedef struct supervisor {
    config **settings;
    metrics *metrics;
    place *places;
    int count;
    bool is_stopping;
    bool is_worker; /* this process is a worker */
    int status;     /* of the worker, or of the whole program */
} supervisor;

static void
wanted_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
    sigaddset(set, SIGCHLD);
}

/* ---- one place -------------------------------------------------------------- */

static void
work(supervisor *s, place *p, int ready_fd, pid_t parent)
{
    sigset_t set;

    s->is_worker = true;
    /* A worker that loses its parent drains and ends. */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    wanted_signals(&set);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    signal(SIGHUP, SIG_IGN);
    log_after_fork();
    log_open(config_bool(*s->settings, "CTMS_USE_MOZLOG"),
             config_string(*s->settings, "CTMS_LOGGING_LEVEL"));
    s->status = 1;
    if (getppid() == parent)
        s->status = worker_run(*s->settings, s->metrics, p->listening_fd, ready_fd, p->died_status);
}

/* Starts a worker; the previous one becomes the old one. Returns twice, like fork(). */
static void
start_worker(supervisor *s, place *p)
{
    pid_t parent = getpid();
    int ends[2];
    pid_t pid;

    p->restart_s = 0;
    if (pipe(ends) != 0 || (pid = fork()) < 0) {
        log_message(LOG_LEVEL_ERROR, LOG_TYPE, "could not start a worker: %s", strerror(errno));
        p->restart_s = clock_now_s() + RESTART_WAIT_S;
        return;
    }
    if (pid == 0) {
        close(ends[0]);
        work(s, p, ends[1], parent);
        return;
    }
    close(ends[1]);
    p->died_status = 0;
    if (p->ready_fd >= 0)
        close(p->ready_fd);
    p->ready_fd = ends[0];
    p->old_pid = p->pid;
    p->pid = pid;
    p->started_s = clock_now_s();
}

/* A worker has ended without being asked to. */
static void
replace_dead(supervisor *s, place *p, int status)
{
    double now = clock_now_s();

    p->pid = 0;
    if (s->is_stopping)
        return;
    p->died_status = status;
    log_message(LOG_LEVEL_ERROR, LOG_TYPE, "worker ended unexpectedly, %s %d",
                WIFSIGNALED(status) ? "by signal" : "with status",
                WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    p->restart_s = now - p->started_s < YOUNG_S ? now + RESTART_WAIT_S : now;
}

static void stop(supervisor *s, const char *why);

static void
reap(supervisor *s)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (WIFEXITED(status) && WEXITSTATUS(status) == WORKER_CANNOT_RUN)
            stop(s, "a worker cannot run with these settings");
        if (status != 0)
            s->status = 1;
        for (int i = 0; i < s->count; i++) {
            if (s->places[i].old_pid == pid)
                s->places[i].old_pid = 0;
            else if (s->places[i].pid == pid)
                replace_dead(s, &s->places[i], status);
        }
    }
}

/* ---- all of them --------------------------------------------------------------- */

static void
read_settings(supervisor *s)
{
    config_error error;
    config *fresh = config_read_again(*s->settings, &error);

    if (fresh == NULL) {
        log_message(LOG_LEVEL_ERROR, LOG_TYPE, "settings stay as they are: %s", error.message);
        return;
    }
    config_free(*s->settings);
    *s->settings = fresh;
    log_open(config_bool(fresh, "CTMS_USE_MOZLOG"), config_string(fresh, "CTMS_LOGGING_LEVEL"));
    log_message(LOG_LEVEL_INFO, LOG_TYPE, "settings read again, replacing workers");
    for (int i = 0; i < s->count; i++)
        s->places[i].is_to_replace = true;
}

/* True while this place waits for its new worker. When that is ready, the old one is told to
 * end. */
static bool
is_changing(place *p)
{
    struct pollfd poller = {.fd = p->ready_fd, .events = POLLIN};

    if (p->ready_fd < 0)
        return false;
    if (poll(&poller, 1, 0) == 0 && clock_now_s() < p->started_s + READY_WAIT_S)
        return true;
    close(p->ready_fd);
    p->ready_fd = -1;
    /* The old worker keeps serving its connected clients for a while. */
    if (p->old_pid != 0)
        kill(p->old_pid, SIGUSR1);
    return false;
}

/* Replaces one worker at a time, so that most of them are always running. */
static void
go_on(supervisor *s)
{
    for (int i = 0; i < s->count && !s->is_worker; i++) {
        place *p = &s->places[i];

        if (p->restart_s != 0 && p->restart_s <= clock_now_s())
            start_worker(s, p);
    }
    for (int i = 0; i < s->count && !s->is_worker; i++) {
        place *p = &s->places[i];

        if (is_changing(p))
            return;
        if (p->is_to_replace && p->pid != 0 && p->old_pid == 0) {
            p->is_to_replace = false;
            start_worker(s, p);
            return;
        }
    }
}

static void
stop(supervisor *s, const char *why)
{
    if (s->is_stopping)
        return;
    log_message(LOG_LEVEL_INFO, LOG_TYPE, "stopping: %s", why);
    s->is_stopping = true;
    s->status = 0;
    for (int i = 0; i < s->count; i++) {
        s->places[i].restart_s = 0;
        if (s->places[i].pid != 0)
            kill(s->places[i].pid, SIGTERM);
        if (s->places[i].old_pid != 0)
            kill(s->places[i].old_pid, SIGTERM);
    }
}

static bool
is_anybody_left(const supervisor *s)
{
    for (int i = 0; i < s->count; i++) {
        if (s->places[i].pid != 0 || s->places[i].old_pid != 0)
            return true;
    }
    return false;
}

static void
supervise(supervisor *s)
{
    struct timespec tick = {.tv_nsec = TICK_MS * 1000000L};
    sigset_t set;

    wanted_signals(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (int i = 0; i < s->count && !s->is_worker; i++)
        start_worker(s, &s->places[i]);
    while (!s->is_worker && (!s->is_stopping || is_anybody_left(s))) {
        int signal_number = sigtimedwait(&set, NULL, &tick);

        if (signal_number == SIGTERM || signal_number == SIGINT)
            stop(s, strsignal(signal_number));
        else if (signal_number == SIGHUP && !s->is_stopping)
            read_settings(s);
        reap(s);
        if (!s->is_stopping)
            go_on(s);
        log_flush();
    }
}

int
supervisor_run(config **settings, metrics *m, const int *listening_fds, int count)
{
    supervisor s = {.settings = settings, .metrics = m, .count = count};

    s.places = xcalloc((size_t)count, sizeof(place));
    for (int i = 0; i < count; i++) {
        s.places[i].listening_fd = listening_fds[i];
        s.places[i].ready_fd = -1;
    }
    supervise(&s);
    for (int i = 0; i < count; i++) {
        if (s.places[i].ready_fd >= 0)
            close(s.places[i].ready_fd);
    }
    free(s.places);
    return s.status;
}
