/*
 * share.h: this agent's part of the requests that may be in flight, over all agents.
 *
 * ctms.share_acoustic() grants slots for the time of a lease; it is asked again before the
 * lease ends, when more or less is wanted, and when others wait for what we still use.
 */
#ifndef AGENT_SHARE_H
#define AGENT_SHARE_H

#include <stdbool.h>

#include "agent/settings.h"
#include "common/pg_pool.h"

typedef struct share share;

/* agent: as in leases; must outlive it. changed: there are more slots, or fewer. */
share *share_new(struct event_base *base, pg_pool *pool, const agent_settings *settings,
                 const char *agent, void (*changed)(void *arg), void *arg);
void share_free(share *s);

/* How many requests may be in flight now. */
int share_granted(const share *s);
/* The database has refused us a share, or gave no answer; not when it is away. */
bool share_is_refused(const share *s);
/* What is going on; asks again where that makes a difference. is_busy: requests may be wanted;
 * is_short: more than there are slots for. A contact now and then does with the slot that is kept.
 */
void share_update(share *s, bool is_busy, bool is_short, int in_flight);
/* Each loop interval: keeps what there is. */
void share_tick(share *s);
/* Gives up all slots. Nothing may be in flight. changed() is called when it is done. */
void share_sign_off(share *s);
bool share_is_signed_off(const share *s);

#endif
