/* http/listen.h: the listening sockets. */
#ifndef CTMS_REST_HTTP_LISTEN_H
#define CTMS_REST_HTTP_LISTEN_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Opens that many listening sockets on one port, which the kernel spreads connections
 * over. *port 0 takes a free one and says which. False and a message on failure. host may be a
 * name or address.
 */
bool listen_open_sockets(const char *host, int *port, int *fds, int count, char *message,
                         size_t message_size);

#endif
