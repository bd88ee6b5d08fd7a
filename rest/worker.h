/* worker.h: one server process: its event loop with everything in it. */
#ifndef CTMS_REST_WORKER_H
#define CTMS_REST_WORKER_H

#include "common/config.h"
#include "common/metrics.h"

/*
 * Serves what arrives on the listening socket until SIGTERM or SIGINT, then drains.
 * Returns the exit status of the process.
 */
int worker_run(const config *settings, metrics *m, int listening_fd);

#endif
