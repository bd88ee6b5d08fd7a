/*
 * main.c: the REST server ctms-rest: reads the settings, opens the listening sockets, and calls
 * supervisor.c, which runs the processes.
 */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/config.h"
#include "common/event_log.h"
#include "common/log.h"
#include "common/metrics.h"
#include "rest/http/listen.h"
#include "rest/metrics.h"
#include "rest/routes.h"
#include "rest/supervisor.h"

#define LOG_TYPE "ctms.rest"
#define SERIES_MAX 4096
/* Larger blocks go back to the system when they are freed: argon2 needs 19 MB for a moment. */
#define MMAP_THRESHOLD (1024 * 1024)

static void __attribute__((noreturn)) give_up(const char *message)
{
    fprintf(stderr, "ctms-rest: %s\n", message);
    exit(1);
}

/* One socket for each process; the kernel spreads connections over them. */
static int *
open_sockets(const config *settings, int count)
{
    const char *host = config_string(settings, "CTMS_HOST");
    int port = (int)config_int(settings, "CTMS_PORT");
    int *fds = xcalloc((size_t)count, sizeof(*fds));
    char message[512];

    if (!listen_open_sockets(host, &port, fds, count, message, sizeof(message)))
        give_up(message);
    log_message(LOG_LEVEL_INFO, LOG_TYPE, "listening on %s port %d, %d process%s", host, port,
                count, count == 1 ? "" : "es");
    return fds;
}

int
main(int argc, char **argv)
{
    config *settings = config_main(CONFIG_REST, "ctms-rest: the REST server of ctms", argc, argv);
    int count = (int)config_int(settings, "CTMS_PROCESSES");
    metrics *m = metrics_new(SERIES_MAX);
    int status;
    int *fds;

    if (m == NULL)
        give_up("no memory for metrics");
    signal(SIGPIPE, SIG_IGN);
    mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD);
    log_open(config_bool(settings, "CTMS_USE_MOZLOG"),
             config_string(settings, "CTMS_LOGGING_LEVEL"));
    event_log_open();
    if (config_string(settings, "CTMS_METRICS_TOKEN") == NULL)
        log_message(LOG_LEVEL_INFO, LOG_TYPE,
                    "CTMS_METRICS_TOKEN is not set: /metrics is public, and names no client");
    rest_metrics_prepare(m, routes_table, routes_count);
    fds = open_sockets(settings, count);
    status = supervisor_run(&settings, m, fds, count);
    log_close();
    for (int i = 0; i < count; i++)
        close(fds[i]);
    free(fds);
    metrics_free(m);
    config_free(settings);
    return status;
}
