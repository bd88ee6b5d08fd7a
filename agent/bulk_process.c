/*
 * bulk_process.c: starts and follows the process that works on runs by file; see bulk_process.h.
 *
 * The process is the same program, by /proc/self/exe: after an upgrade of the file it is still the
 * version of the agent. It has a process group of its own, so that Ctrl-C on a terminal reaches
 * only the agent, which then stops it.
 */
#include "agent/bulk_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/report.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"

/* A longer line is none of ours. */
enum { LINE_MAX_BYTES = 8192 };
/* The end of its pipe comes a moment before its own. */
#define REAP_S 2.0

struct bulk_process {
    pid_t pid; /* 0: ended */
    int fd;
    struct event *readable;
    buf text;
    bulk_process_events events;
    bool is_told_to_stop;
};

/* ---- starting --------------------------------------------------------------------- */

static int
spawn(pid_t *pid, int pipe_end, char **arguments)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int error;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, pipe_end, BULK_LINE_FD);
    posix_spawn_file_actions_addclosefrom_np(&actions, BULK_LINE_FD + 1);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    error = posix_spawn(pid, "/proc/self/exe", &actions, &attributes, arguments, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

/* The arguments of this program with the mode in front. The caller frees the array. */
static char **
add_mode(char **arguments, bulk_main_mode mode)
{
    static char begin[] = BULK_MAIN_BEGIN_ARGUMENT, resume[] = BULK_MAIN_RESUME_ARGUMENT;
    int count = 0;
    char **all;

    while (arguments[count] != NULL)
        count++;
    all = xcalloc((size_t)count + 2, sizeof(*all));
    all[0] = arguments[0];
    all[1] = mode == BULK_MAIN_BEGIN ? begin : resume;
    memcpy(all + 2, arguments + 1, (size_t)(count - 1) * sizeof(*all));
    return all;
}

/* ---- reading ---------------------------------------------------------------------- */

static void
take_lines(bulk_process *p)
{
    const char *end;
    bulk_line line;

    while ((end = memchr(buf_text(&p->text), '\n', p->text.length)) != NULL) {
        size_t length = (size_t)(end - p->text.data);

        p->text.data[length] = '\0';
        if (bulk_line_read(&line, p->text.data))
            p->events.line(p->events.arg, &line);
        buf_consume(&p->text, length + 1);
    }
    if (p->text.length > LINE_MAX_BYTES)
        buf_reset(&p->text);
}

/* False at the end. */
static bool
read_pipe(bulk_process *p)
{
    char piece[4096];
    ssize_t got;

    while ((got = read(p->fd, piece, sizeof(piece))) > 0) {
        buf_append(&p->text, piece, (size_t)got);
        take_lines(p);
    }
    return got < 0 && (errno == EAGAIN || errno == EINTR);
}

/* ---- its end ---------------------------------------------------------------------- */

/* Waits for the process, which must have ended by then, or is killed. how becomes words. */
static void
reap(bulk_process *p, double deadline_s, char *how, size_t size)
{
    int status = 0;

    while (waitpid(p->pid, &status, WNOHANG) == 0) {
        if (clock_now_s() > deadline_s)
            kill(p->pid, SIGKILL);
        poll(NULL, 0, 10);
    }
    p->pid = 0;
    if (WIFSIGNALED(status))
        snprintf(how, size, "signal %d", WTERMSIG(status));
    else
        snprintf(how, size, "exit status %d", WEXITSTATUS(status));
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
    bulk_process *p = arg;
    char how[32];

    (void)fd;
    (void)what;
    if (read_pipe(p))
        return;
    event_del(p->readable);
    reap(p, clock_now_s() + REAP_S, how, sizeof(how));
    p->events.ended(p->events.arg, how);
}

void
bulk_process_stop(bulk_process *p)
{
    if (!p->is_told_to_stop)
        kill(p->pid, SIGTERM);
    p->is_told_to_stop = true;
}

void
bulk_process_finish(bulk_process *p, double deadline_s)
{
    struct pollfd pipe = {.fd = p->fd, .events = POLLIN};
    bool is_open = true;
    double left_s;
    char how[32];

    while (is_open && (left_s = deadline_s - clock_now_s()) > 0) {
        poll(&pipe, 1, (int)(left_s * 1000) + 1);
        is_open = read_pipe(p);
    }
    reap(p, is_open ? 0 : clock_now_s() + REAP_S, how, sizeof(how));
    read_pipe(p);
    if (is_open)
        log_message(LOG_LEVEL_WARNING, REPORT_BULK,
                    "the process that sends by file was killed; whoever runs next goes on");
    bulk_process_free(p);
}

/* ---- life ------------------------------------------------------------------------- */

bulk_process *
bulk_process_start(struct event_base *base, char **arguments, bulk_main_mode mode,
                   const bulk_process_events *events)
{
    bulk_process *p = xcalloc(1, sizeof(*p));
    char **all = add_mode(arguments, mode);
    int ends[2];
    int error = pipe2(ends, O_CLOEXEC) == 0 ? 0 : errno;

    if (error == 0) {
        error = spawn(&p->pid, ends[1], all);
        close(ends[1]);
        if (error != 0)
            close(ends[0]);
    }
    free(all);
    if (error != 0) {
        log_message(LOG_LEVEL_ERROR, REPORT_BULK, "could not start a process: %s", strerror(error));
        free(p);
        return NULL;
    }
    p->fd = ends[0];
    fcntl(p->fd, F_SETFL, O_RDONLY | O_NONBLOCK);
    p->events = *events;
    p->readable = event_new(base, p->fd, EV_READ | EV_PERSIST, on_readable, p);
    event_add(p->readable, NULL);
    return p;
}

void
bulk_process_free(bulk_process *p)
{
    event_free(p->readable);
    close(p->fd);
    buf_free(&p->text);
    free(p);
}
