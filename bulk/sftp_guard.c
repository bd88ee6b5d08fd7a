/* bulk/sftp_guard.c: see bulk/sftp_guard.h. Only what a signal handler may call is called there. */
#include "bulk/sftp_guard.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum {
    SOCKETS_MAX = 4, /* libcurl tries several addresses at once */
    LOOK_US = 100000,
    SILENT_S = 30, /* libcurl is heard of every second, except while it looks a name up */
};
/* What arrives besides a file: answers, and what libssh2 reads ahead. */
static const unsigned long long ARRIVED_MAX = 16ULL << 20;

static struct {
    atomic_int sockets[SOCKETS_MAX]; /* one more than the descriptor; 0: none */
    atomic_ullong before[SOCKETS_MAX];
    atomic_ullong moved;
    atomic_llong heard_s;
    atomic_bool is_cut;
} guard;

static long long
now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

static unsigned long long
count_arrived(int fd)
{
    struct tcp_info info = {.tcpi_bytes_received = 0};
    socklen_t size = sizeof(info);

    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 ? info.tcpi_bytes_received : 0;
}

static void
on_alarm(int number)
{
    int error = errno;
    bool is_silent = now_s() - guard.heard_s > SILENT_S;

    (void)number;
    for (int i = 0; i < SOCKETS_MAX; i++) {
        int fd = guard.sockets[i] - 1;

        if (fd < 0 ||
            (!is_silent && count_arrived(fd) - guard.before[i] <= ARRIVED_MAX + 2 * guard.moved))
            continue;
        shutdown(fd, SHUT_RDWR);
        guard.is_cut = true;
    }
    errno = error;
}

/* ---- sockets ---------------------------------------------------------------------- */

static curl_socket_t
open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    int place = 0;

    (void)arg;
    (void)purpose;
    while (fd >= 0 && place < SOCKETS_MAX && guard.sockets[place] != 0)
        place++;
    if (fd >= 0 && place < SOCKETS_MAX) {
        guard.before[place] = 0;
        guard.sockets[place] = fd + 1;
    }
    return fd;
}

static int
close_socket(void *arg, curl_socket_t fd)
{
    (void)arg;
    for (int i = 0; i < SOCKETS_MAX; i++) {
        if (guard.sockets[i] == fd + 1)
            guard.sockets[i] = 0;
    }
    return close(fd);
}

void
sftp_guard_set_up(CURL *curl)
{
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(curl, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
}

/* ---- requests --------------------------------------------------------------------- */

static void
set_timer(suseconds_t interval_us)
{
    struct itimerval timer = {.it_interval = {.tv_usec = interval_us},
                              .it_value = {.tv_usec = interval_us}};

    setitimer(ITIMER_REAL, &timer, NULL);
}

void
sftp_guard_begin(void)
{
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};

    for (int i = 0; i < SOCKETS_MAX; i++) {
        if (guard.sockets[i] != 0)
            guard.before[i] = count_arrived(guard.sockets[i] - 1);
    }
    guard.is_cut = false;
    sftp_guard_note(0);
    sigaction(SIGALRM, &action, NULL);
    set_timer(LOOK_US);
}

bool
sftp_guard_end(void)
{
    set_timer(0);
    return guard.is_cut;
}

void
sftp_guard_note(long long moved)
{
    guard.moved = (unsigned long long)moved;
    guard.heard_s = now_s();
}
