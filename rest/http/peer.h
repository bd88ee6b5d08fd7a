/*
 * http/peer.h: how many connections each client address holds. connection.c counts them with it.
 *
 * An IPv4 address is one peer, also where it comes as an IPv6 address ("::ffff:192.0.2.1"). Of IPv6
 * addresses a client usually has the 2^64 of a network, so all with the same 64 bits in front are
 * one peer.
 */
#ifndef CTMS_REST_HTTP_PEER_H
#define CTMS_REST_HTTP_PEER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

typedef struct peer {
    uint64_t key;
    int connections;
    struct peer *next; /* in its bucket */
} peer;

#define PEER_BUCKETS 4096

typedef struct peer_table {
    peer *buckets[PEER_BUCKETS];
} peer_table;

/* Counts one more connection of an address. The peer is valid until its last peer_leave(). */
peer *peer_enter(peer_table *table, const struct sockaddr_storage *address);
void peer_leave(peer_table *table, peer *p);

#endif
