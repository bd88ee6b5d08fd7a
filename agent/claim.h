/*
 * claim.h: claims contacts from the queue, ahead of need, and puts them into the line. sync.c calls
 * it.
 */
#ifndef AGENT_CLAIM_H
#define AGENT_CLAIM_H

#include "agent/line.h"

/* Claims contacts, if that is useful and allowed now. */
void claim_ahead(struct line *l);
/* A claim would be useful: the queue may have contacts for which there is room. */
bool claim_is_wanted(const struct line *l);
/* Takes the result of a claim; the parameters are those of queue_events.claimed. */
void claim_take_contacts(struct line *l, struct contact_list *contacts,
                         const queue_claim_result *result);
void claim_note_failure(struct line *l);
/* When claim_ahead() may have something to do even if nothing else happens; 0 or past: no such
 * time. */
double claim_next_due_s(const struct line *l);

#endif
