/* config_file.c: see config_file.h. */
#include "common/config_file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"

#define PIPE_S 5.0

/*
 * Waits until there is something to read. A FIFO that nobody has opened for writing has nothing;
 * one that somebody has closed is readable.
 */
static bool
wait_readable(int fd, double until_s)
{
    struct pollfd file = {.fd = fd, .events = POLLIN};
    int ready = -1;

    while (ready < 0) {
        double wait_s = until_s - clock_now_s();

        ready = poll(&file, 1, wait_s > 0 ? (int)(wait_s * 1000) + 1 : 0);
        if (ready < 0 && errno != EINTR)
            return false;
    }
    return ready > 0;
}

/* Returns null at the end of the file, or else why it was not reached. */
static const char *
read_all(int fd, bool is_pipe, size_t max, buf *text)
{
    double until_s = clock_now_s() + PIPE_S;
    size_t before = text->length;
    bool has_waited = false;

    while (text->length - before <= max) {
        char part[4096];
        ssize_t count = read(fd, part, sizeof(part));

        if (count > 0)
            buf_append(text, part, (size_t)count);
        /* A pipe whose writer has not come yet seems to be at its end. */
        else if (count == 0 && (!is_pipe || has_waited || text->length > before))
            return NULL;
        else if (count < 0 && errno != EAGAIN && errno != EINTR)
            return strerror(errno);
        else if (!wait_readable(fd, until_s))
            return "it did not end within 5 s";
        else
            has_waited = true;
    }
    return "it is too long";
}

bool
config_file_read(const char *path, size_t max, buf *text, char *problem, size_t size)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat status;
    const char *why;

    if (fd < 0) {
        snprintf(problem, size, "could not open \"%s\": %s", path, strerror(errno));
        return false;
    }
    if (fstat(fd, &status) != 0)
        why = strerror(errno);
    else if (S_ISDIR(status.st_mode))
        why = "it is a folder";
    else
        why = read_all(fd, S_ISFIFO(status.st_mode), max, text);
    if (strncmp(buf_text(text), "\xef\xbb\xbf", 3) == 0)
        buf_consume(text, 3);
    if (why)
        snprintf(problem, size, "could not read \"%s\": %s", path, why);
    close(fd);
    return !why;
}
