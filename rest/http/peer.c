/* http/peer.c: how many connections each client address holds; see peer.h. */
#include "rest/http/peer.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"

/* No client's IPv6 address begins with these bits: they are those of multicast. */
#define IPV4_KEY 0xFFFFFFFF00000000U

static uint64_t
read_bytes(const unsigned char *bytes, int count)
{
    uint64_t number = 0;

    for (int i = 0; i < count; i++)
        number = number << 8 | bytes[i];
    return number;
}

static uint64_t
key_of(const struct sockaddr_storage *address)
{
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;

    if (address->ss_family == AF_INET)
        return IPV4_KEY | ntohl(v4->sin_addr.s_addr);
    if (address->ss_family != AF_INET6)
        return 0;
    if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
        return IPV4_KEY | read_bytes(v6->sin6_addr.s6_addr + 12, 4);
    return read_bytes(v6->sin6_addr.s6_addr, 8);
}

static peer **
bucket_of(peer_table *table, uint64_t key)
{
    return &table->buckets[(key * 0x9E3779B97F4A7C15U) >> 52];
}
_Static_assert(PEER_BUCKETS == 1 << 12, "a bucket is chosen by 12 bits");

peer *
peer_enter(peer_table *table, const struct sockaddr_storage *address)
{
    uint64_t key = key_of(address);
    peer **bucket = bucket_of(table, key);
    peer *found = *bucket;

    while (found != NULL && found->key != key)
        found = found->next;
    if (found == NULL) {
        found = xcalloc(1, sizeof(*found));
        found->key = key;
        found->next = *bucket;
        *bucket = found;
    }
    found->connections++;
    return found;
}

void
peer_leave(peer_table *table, peer *p)
{
    peer **place = bucket_of(table, p->key);

    if (--p->connections > 0)
        return;
    while (*place != p)
        place = &(*place)->next;
    *place = p->next;
    free(p);
}
