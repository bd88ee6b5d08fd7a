/* What libevent says becomes a line of the log, and a flood of it one line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <event2/event.h>

#include "common/event_log.h"
#include "common/log.h"

enum { NO_FD = 1000000 };

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
}

static void
logs_one_of_many(void **state)
{
    struct event_base *base = event_base_new();
    char text[65536];
    ssize_t length;
    int fds[2];

    (void)state;
    assert_int_equal(pipe(fds), 0);
    log_set_fd(fds[1]);
    log_open(true, "INFO");
    event_log_open();
    for (int i = 0; i < 100; i++) {
        struct event *event = event_new(base, NO_FD, EV_READ, on_event, NULL);

        assert_int_equal(event_add(event, NULL), -1);
        event_free(event);
    }
    log_flush();
    close(fds[1]);
    length = read(fds[0], text, sizeof(text) - 1);
    assert_in_range(length, 1, sizeof(text) - 1);
    text[length] = '\0';
    assert_non_null(strstr(text, "\"ctms.libevent\""));
    assert_non_null(strstr(text, "1000000"));
    assert_ptr_equal(strchr(text, '\n'), text + length - 1);
    close(fds[0]);
    event_base_free(base);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(logs_one_of_many)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
