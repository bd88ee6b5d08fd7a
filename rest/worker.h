/*
 * worker.h: one server process: its event loop with everything in it. supervisor.c calls it after
 * fork().
 */
#ifndef CTMS_REST_WORKER_H
#define CTMS_REST_WORKER_H

#include "common/config.h"
#include "common/metrics.h"

/* Exit status when the settings cannot be used: another worker would fail too. */
#define WORKER_CANNOT_RUN 78

/*
 * Serves the listening socket until SIGTERM, SIGINT or SIGUSR1, then drains. After SIGUSR1, when
 * another process takes over, idle clients have more time. Closes ready_fd when it can serve.
 * previous_status is how the process that this one replaces ended, as waitpid() reports it, if it
 * was not asked to end; otherwise 0. Returns the exit status of the process.
 */
int
worker_run(const config *settings, metrics *m, int listening_fd, int ready_fd, int previous_status);

#endif
