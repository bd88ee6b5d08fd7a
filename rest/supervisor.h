/*
 * supervisor.h: the parent of the server processes.
 *
 * It holds the listening sockets and the metrics, starts a worker for each socket, replaces
 * those that die, and replaces all of them one after the other on SIGHUP, with settings
 * that it has read again; connections wait in its sockets meanwhile. SIGTERM and SIGINT
 * stop everything in order.
 */
#ifndef CTMS_REST_SUPERVISOR_H
#define CTMS_REST_SUPERVISOR_H

#include "common/config.h"
#include "common/metrics.h"

/*
 * Returns the exit status, in the parent and in each worker. Takes *settings over: it may
 * be another one afterwards.
 */
int supervisor_run(config **settings, metrics *m, const int *listening_fds, int count);

#endif
