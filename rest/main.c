/* main.c: the REST server ctms-rest: settings, the listening socket, the process. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/config.h"
#include "common/log.h"
#include "common/metrics.h"
#include "rest/rest_metrics.h"
#include "rest/server.h"
#include "rest/worker.h"

#define LOG_TYPE "ctms.rest"
#define SERIES_MAX 4096

int
main(int argc, char **argv)
{
    config *settings = config_main(CONFIG_REST, "ctms-rest: the REST server of ctms", argc, argv);
    const char *host = config_string(settings, "CTMS_HOST");
    int port = (int)config_int(settings, "CTMS_PORT");
    metrics *m = metrics_new(SERIES_MAX);
    char message[512];
    int status = 1;
    int fd;

    signal(SIGPIPE, SIG_IGN);
    log_open(config_bool(settings, "CTMS_USE_MOZLOG"),
             config_string(settings, "CTMS_LOGGING_LEVEL"));
    fd = server_listen(host, port, message, sizeof(message));
    if (fd < 0 || m == NULL) {
        fprintf(stderr, "ctms-rest: %s\n", fd < 0 ? message : "no memory for metrics");
        exit(1);
    }
    rest_metrics_prepare(m);
    log_message(LOG_LEVEL_INFO, LOG_TYPE, "listening on %s port %d", host, port);
    status = worker_run(settings, m, fd);
    close(fd);
    log_message(LOG_LEVEL_INFO, LOG_TYPE, "stopped");
    log_close();
    metrics_free(m);
    config_free(settings);
    return status;
}
