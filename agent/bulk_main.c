/*
 * bulk_main.c: works on waves by file in a process of its own; see bulk_main.h.
 *
 * What happens is told to the agent through a pipe, and the agent logs and counts it: two processes
 * would mix their lines. The agent's end is this process's end too: everything can be gone on with.
 */
#include "agent/bulk_main.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/bulk_line.h"
#include "bulk/name.h"
#include "bulk/run.h"

typedef struct work {
    int fd; /* of the pipe; -1: nobody listens */
    bulk_result result;
    bulk_result told;
    long long uploading; /* bytes of the upload that goes on, as far as they were told */
} work;

static volatile sig_atomic_t is_stopping;

static void
on_stop(int number)
{
    if (is_stopping)
        _exit(128 + number);
    is_stopping = 1;
}

/* ---- telling ---------------------------------------------------------------------- */

static void
tell(work *w, const bulk_line *line)
{
    if (w->fd >= 0)
        bulk_line_write(w->fd, line);
    else if (line->kind == BULK_LINE_LOG || line->kind == BULK_LINE_END)
        fprintf(stderr, "ctms-agent: %s\n", line->message);
}

static void
tell_result(work *w)
{
    if (memcmp(&w->told, &w->result, sizeof(w->told)) == 0)
        return;
    w->told = w->result;
    tell(w, &(bulk_line){.kind = BULK_LINE_RESULT, .result = w->result});
}

static void
on_log(void *arg, log_level level, const char *message)
{
    bulk_line line = {.kind = BULK_LINE_LOG, .level = level};

    snprintf(line.message, sizeof(line.message), "%s", message);
    tell(arg, &line);
}

static void
on_progress(void *arg, const bulk_progress *progress)
{
    work *w = arg;
    bool is_upload = strcmp(progress->state, "uploading") == 0 && progress->unit != NULL &&
                     strcmp(progress->unit, "bytes") == 0;
    long long done = is_upload ? progress->done : 0;

    /* Fewer than before: another file, or the same one anew. */
    if (done < w->uploading)
        w->uploading = 0;
    if (done > w->uploading)
        tell(w, &(bulk_line){.kind = BULK_LINE_BYTES, .bytes = done - w->uploading});
    w->uploading = done;
    tell_result(w);
}

static bool
is_work_stopping(void *arg)
{
    (void)arg;
    return is_stopping;
}

/* ---- life ------------------------------------------------------------------------- */

bulk_main_mode
bulk_main_take_argument(int *argc, char **argv)
{
    bulk_main_mode mode = BULK_MAIN_NONE;

    if (*argc > 1 && strcmp(argv[1], BULK_MAIN_BEGIN_ARGUMENT) == 0)
        mode = BULK_MAIN_BEGIN;
    else if (*argc > 1 && strcmp(argv[1], BULK_MAIN_RESUME_ARGUMENT) == 0)
        mode = BULK_MAIN_RESUME;
    if (mode != BULK_MAIN_NONE) {
        memmove(argv + 1, argv + 2, (size_t)(*argc - 1) * sizeof(*argv));
        --*argc;
    }
    return mode;
}

/* The descriptor of the pipe, if there is one. */
static int
find_pipe(void)
{
    struct stat status;

    if (fstat(BULK_LINE_FD, &status) != 0 || !S_ISFIFO(status.st_mode))
        return -1;
    fcntl(BULK_LINE_FD, F_SETFL, O_WRONLY | O_NONBLOCK);
    fcntl(BULK_LINE_FD, F_SETFD, FD_CLOEXEC);
    return BULK_LINE_FD;
}

static void
catch_signals(bool has_agent)
{
    struct sigaction action = {.sa_handler = on_stop};
    struct pollfd pipe = {.fd = BULK_LINE_FD};

    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGHUP, SIG_IGN); /* the agent says what its settings mean for us */
    if (!has_agent)
        return;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    /* The agent may have died before. */
    if (poll(&pipe, 1, 0) > 0 && (pipe.revents & POLLERR))
        is_stopping = 1;
}

int
bulk_main_run(const config *c, bulk_main_mode mode)
{
    work w = {.fd = find_pipe()};
    bulk_line end = {.kind = BULK_LINE_END, .outcome = BULK_UNAVAILABLE};
    char runner[BULK_NAME_SIZE];
    bulk_settings settings;
    bulk_options options = {.settings = &settings,
                            .db_url = config_string(c, "CTMS_DB_URL"),
                            .runner = runner,
                            .may_begin = mode == BULK_MAIN_BEGIN,
                            .progress = on_progress,
                            .log = on_log,
                            .is_stopping = is_work_stopping,
                            .arg = &w};

    catch_signals(w.fd >= 0);
    bulk_name_runner(runner, sizeof(runner));
    if (bulk_settings_fill(&settings, c, end.message, sizeof(end.message)))
        end.outcome = bulk_work(&options, &w.result, end.message, sizeof(end.message));
    tell_result(&w);
    tell(&w, &end);
    return end.outcome == BULK_FAILED || end.outcome == BULK_UNAVAILABLE;
}
