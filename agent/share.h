/*
 * share.h: this agent's share of the requests that all agents together may have in flight. sync.c
 * sets it up; send.c and claim.c ask it.
 *
 * ctms.share_acoustic() grants slots with a lease. It is asked again before the lease ends, when
 * more or fewer slots are wanted, and when other agents wait for slots that we still use.
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

/* How many requests may be in flight now. */
int share_granted(const share *s);
/* The database has refused us a share, or has not answered. False when the database is away. */
bool share_is_refused(const share *s);
/* Tells the share what is going on; it asks the database again when that makes a difference.
 * is_busy: requests may be wanted. is_short: more requests are wanted than there are slots. A
 * contact from time to time needs only the slot that is always kept. */
void share_update(share *s, bool is_busy, bool is_short, int in_flight);
/* Called at each loop interval; renews the lease. */
void share_tick(share *s);
/* Gives up all slots. Nothing may be in flight. changed() is called when that is done. */
void share_sign_off(share *s);
bool share_is_signed_off(const share *s);

#endif
