/* http/listen.h: opens the listening sockets. main.c calls it. */
#ifndef CTMS_REST_HTTP_LISTEN_H
#define CTMS_REST_HTTP_LISTEN_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Opens that many listening sockets on one port; the kernel spreads connections over them. *port 0
 * chooses a free port and sets it. host may be a name or an address. Returns false and a message on
 * failure.
 */
bool listen_open_sockets(const char *host, int *port, int *fds, int count, char *message,
                         size_t message_size);

#endif
