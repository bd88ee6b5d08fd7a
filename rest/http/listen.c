/*
 * http/listen.c: opens the listening sockets, and switches accepting from them on and off; see
 * listen.h and internal.h.
 */
#include "rest/http/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rest/http/internal.h"

#define LISTEN_BACKLOG 4096

/* Opens one socket. is_shared: other sockets may listen on the same port, if they allow it too. */
static int
open_socket(const struct addrinfo *address, bool is_shared)
{
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int yes = 1;

    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) != 0 ||
        (is_shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof(yes)) != 0) ||
        bind(fd, address->ai_addr, address->ai_addrlen) != 0 || listen(fd, LISTEN_BACKLOG) != 0) {
        int error = errno;

        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

/* The port in an address, IPv4 or IPv6. */
static in_port_t *
port_in(struct sockaddr *address)
{
    if (address->sa_family == AF_INET6)
        return &((struct sockaddr_in6 *)address)->sin6_port;
    return &((struct sockaddr_in *)address)->sin_port;
}

static bool
open_all(struct addrinfo *address, int *port, int *fds, int count)
{
    int first = open_socket(address, false);

    /* The first socket does not share its port: otherwise two servers could share one by mistake,
     * which would be hard to notice. */
    if (first < 0)
        return false;
    /* Now the address contains the port that was chosen. */
    if (getsockname(first, address->ai_addr, &address->ai_addrlen) != 0)
        return false;
    *port = ntohs(*port_in(address->ai_addr));
    if (count == 1) {
        fds[0] = first;
        return true;
    }
    close(first);
    for (int i = 0; i < count; i++) {
        fds[i] = open_socket(address, true);
        if (fds[i] < 0)
            return false;
    }
    return true;
}

bool
listen_open_sockets(const char *host, int *port, int *fds, int count, char *message,
                    size_t message_size)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    char service[16];
    int status;
    bool ok;

    snprintf(service, sizeof(service), "%d", *port);
    status = getaddrinfo(host, service, &hints, &found);
    if (status != 0) {
        snprintf(message, message_size, "could not find the address \"%s\": %s", host,
                 gai_strerror(status));
        return false;
    }
    ok = open_all(found, port, fds, count);
    if (!ok)
        snprintf(message, message_size, "could not listen on %s port %d: %s", host, *port,
                 strerror(errno));
    freeaddrinfo(found);
    return ok;
}

/* ---- accepting ------------------------------------------------------------------- */

void
listen_start_accepting(server *s)
{
    if (!s->is_accepting && s->drain_deadline_s == 0)
        s->is_accepting = event_add(s->acceptable, NULL) == 0;
}

void
listen_stop_accepting(server *s)
{
    event_del(s->acceptable);
    s->is_accepting = false;
}
