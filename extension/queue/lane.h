/*
 * queue/lane.h: in which of the queue's two lanes a contact waits: live, or bulk.
 */
#ifndef CTMS_QUEUE_LANE_H
#define CTMS_QUEUE_LANE_H

#include "postgres.h"

#include "extension/queue/feed.h"

/* Contacts wait in the bulk lane if "is_bulk", except those in "live". */
typedef struct Lane {
    bool is_bulk;
    const FeedKeys *live; /* NULL: none */
} Lane;

extern bool lane_is_bulk(const Lane *lane, const pg_uuid_t *email_id);

/* The lane that an argument named "argument" says; raises an error when it is neither. */
extern Lane lane_from_text(const char *argument, const char *text);

/*
 * Whether the changes that this transaction has made up to now are a wave. Its contacts must be
 * taken from the feed before; "left_keys" lead to more of them.
 */
extern bool lane_is_transaction_bulk(int64 left_keys);

/* Whether what a changed price concerns is a wave here, too. */
extern bool lane_is_price_bulk(void);

/* Defines the setting ctms.acoustic_lane; called once, by _PG_init. */
extern void lane_init(void);

#endif
