/*
 * supervisor.h: the parent of the server processes. main.c calls it.
 *
 * It holds the listening sockets and the metrics, and starts a worker for each socket. It replaces
 * workers that die. On SIGHUP it reads the settings again and replaces all workers one after the
 * other; meanwhile connections wait in its sockets. SIGTERM and SIGINT stop everything in order.
 */
#ifndef CTMS_REST_SUPERVISOR_H
#define CTMS_REST_SUPERVISOR_H

#include "common/config.h"
#include "common/metrics.h"

/*
 * Returns the exit status, in the parent and in each worker. Owns *settings from here on, and may
 * replace it.
 */
int supervisor_run(config **settings, metrics *m, const int *listening_fds, int count);

#endif
