/*
 * share.h: this agent's share of the requests that all agents together may have in flight. sync.c
 * sets it up; send.c and claim.c ask it.
 *
 * ctms.share_acoustic() grants slots with a lease. It is asked again before the lease ends, when
 * more or fewer slots are wanted, and when other agents wait for slots that we still use.
 *
 * A request that was sent and has no answer keeps its slot as long as one of an agent that died
 * would: the time-out and three seconds more. Acoustic may still be at work on it.
 */
#ifndef AGENT_SHARE_H
#define AGENT_SHARE_H

#include <stdbool.h>

#include "agent/settings.h"
#include "common/pg_pool.h"

typedef struct share share;

/* agent: the name in leases; it must outlive the share. changed: the number of slots has
 * changed. */
share *share_new(struct event_base *base, pg_pool *pool, const agent_settings *settings,
                 const char *agent, void (*changed)(void *arg), void *arg);
void share_free(share *s);

/* How many requests may be in flight now, without those whose slots are held. */
int share_granted(share *s);
/* A request ended without an answer: holds its slot. */
void share_hold(share *s);
/* The database has refused us a share, or has not answered. False when the database is away. */
bool share_is_refused(const share *s);
/* Tells the share what is going on; it asks the database again when that makes a difference.
 * is_busy: requests may be wanted. is_short: more requests are wanted than there are slots. A
 * contact from time to time needs only the slot that is always kept. contacts_per_second: for
 * ctms.acoustic_rate(). */
void share_update(share *s, bool is_busy, bool is_short, int in_flight, double contacts_per_second);
/* Called at each loop interval; renews the lease. */
void share_tick(share *s);
/* Gives up all slots; those that are held, and of as many requests in flight, stay taken in the
 * database until their time is over. changed() is called when that is done. */
void share_sign_off(share *s, int in_flight);
bool share_is_signed_off(const share *s);

#endif
