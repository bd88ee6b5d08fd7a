/*
 * claim.h: fills the line: claims contacts from the queue, ahead of need.
 */
#ifndef AGENT_CLAIM_H
#define AGENT_CLAIM_H

#include "agent/line.h"

/* Claims, if that is wanted and may be. */
void claim_ahead(struct line *l);
/* What came of a claim; as queue_events says it. */
void claim_take_contacts(struct line *l, struct contact_list *contacts, int claimed, int limit);
void claim_note_failure(struct line *l);

#endif
