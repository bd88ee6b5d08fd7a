/* Tests of the counts of connections by address. uses: rest/http/peer.c */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "rest/http/peer.h"

static peer_table table;

static peer *
enter(const char *text)
{
    struct sockaddr_storage address = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address;

    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        address.ss_family = AF_INET;
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
        address.ss_family = AF_INET6;
    }
    return peer_enter(&table, &address);
}

static void
tells_peers_apart(void **state)
{
    static const struct {
        const char *one, *other;
        bool is_same;
    } cases[] = {
        {"192.0.2.1", "192.0.2.1", true},
        {"192.0.2.1", "192.0.2.2", false},
        {"192.0.2.1", "::ffff:192.0.2.1", true},
        {"::ffff:192.0.2.1", "::ffff:192.0.2.2", false},
        {"2001:db8:0:1::1", "2001:db8:0:1:ffff::2", true},
        {"2001:db8:0:1::1", "2001:db8:0:2::1", false},
        {"::1", "127.0.0.1", false},
        {"0.0.0.0", "::", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        peer *one = enter(cases[i].one), *other = enter(cases[i].other);

        if ((one == other) != cases[i].is_same)
            fail_msg("%s and %s", cases[i].one, cases[i].other);
        assert_int_equal(one->connections, cases[i].is_same ? 2 : 1);
        peer_leave(&table, one);
        peer_leave(&table, other);
    }
}

/* More than there are buckets, which leave in another order than they came. */
static void
counts_many(void **state)
{
    static peer *peers[3 * PEER_BUCKETS];
    const size_t count = sizeof(peers) / sizeof(peers[0]);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        struct sockaddr_in address = {.sin_family = AF_INET,
                                      .sin_addr.s_addr = htonl((uint32_t)(i / 2))};
        struct sockaddr_storage storage = {0};

        memcpy(&storage, &address, sizeof(address));
        peers[i] = peer_enter(&table, &storage);
        assert_int_equal(peers[i]->connections, i % 2 + 1);
    }
    for (size_t i = 0; i < count; i++)
        peer_leave(&table, peers[i * 7 % count]);
    for (size_t i = 0; i < PEER_BUCKETS; i++)
        assert_null(table.buckets[i]);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_peers_apart),
        cmocka_unit_test(counts_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
