/* worker.h: one server process: its event loop with everything in it. */
#ifndef CTMS_REST_WORKER_H
#define CTMS_REST_WORKER_H

#include "common/config.h"
#include "common/metrics.h"

/* Exit status when the settings make no sense: starting it again would not help. */
#define WORKER_CANNOT_RUN 78

/*
 * Serves what arrives on the listening socket until SIGTERM, SIGINT or SIGUSR1, then drains:
 * after SIGUSR1, when another process takes over, idle clients may take their time. Closes
 * ready_fd when it can serve. previous_status is how the process whose place this takes ended,
 * as waitpid() tells, when nobody had asked it to; else 0. Returns the exit status of the process.
 */
int
worker_run(const config *settings, metrics *m, int listening_fd, int ready_fd, int previous_status);

#endif
