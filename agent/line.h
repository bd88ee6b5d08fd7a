/*
 * line.h: the line: where each contact, each of its rows and each call is, and what moves them.
 *
 * The files that work on the line stand on this one and know one another only downwards:
 * claim.c fills it, send.c sends from it, outcome.c places what was answered, stop.c makes it
 * stand still, drain.c empties it; sync.c calls them in turn. Nothing here decides.
 *
 * Where a contact is, at any time exactly one of:
 *   ready      claimed, its AddRecipient not sent
 *   (a call)   its AddRecipient is in flight, or waits to be sent again (RemoveRecipient, when
 *              it is deleted)
 *   halfway    accepted; its rows wait in the queues of their tables or are in calls
 *   outcomes   done or failed, to be written to the queue; then queue.c has it
 */
#ifndef AGENT_LINE_H
#define AGENT_LINE_H

#include <event2/event.h>

#include "agent/acoustic/token.h"
#include "agent/contact.h"
#include "agent/metrics.h"
#include "agent/pace.h"
#include "agent/queue.h"
#include "agent/settings.h"
#include "agent/share.h"
#include "agent/suspects.h"
#include "common/http_client.h"

/* Rows of one table that may share a call: those to be stored, and those to be deleted. */
enum { LANES = 2 * ACOUSTIC_TABLES };

static inline int
line_lane(acoustic_table table, bool is_deletion)
{
    return (int)table + (is_deletion ? ACOUSTIC_TABLES : 0);
}

/* A request to the XML API: one contact's AddRecipient or RemoveRecipient, or rows of one
 * table, to be stored or to be deleted. */
typedef struct call {
    struct line *line;
    acoustic_table table;
    bool is_deletion;
    contact *contact; /* of AddRecipient and RemoveRecipient */
    contact_row **rows;
    int row_count;
    double started_s;
    unsigned token_number;
    bool was_refused; /* for its token, once */
    bool is_half;     /* of a call that failed as a whole */
    double halved_at_s;
    int overloads; /* times it was refused because there were too many */
    TAILQ_ENTRY(call) link;
} call;

TAILQ_HEAD(call_list, call);

/* Why the line stands still. While it is set, one request at a time tries again. */
typedef struct stop {
    failure_class class; /* CLASS_SUCCESS: it does not stand still */
    acoustic_table table;
    double since_s;
    double until_s; /* no request before that */
    int count;      /* stops since the table last worked */
    int good_calls; /* since the last stop */
    char why[ERROR_SIZE];
} stop;

/* Owned by sync.c, which sets it up and takes it down. */
struct line {
    struct event_base *base;
    const agent_settings *settings;
    agent_metrics *metrics;
    http_client *http;
    token_source *tokens;
    queue *queue;
    share *share;
    pace pace;

    struct contact_list ready, halfway, outcomes;
    struct row_list waiting[LANES];
    int waiting_counts[LANES];
    struct call_list again; /* calls to be sent before others */
    struct call_list sent;  /* in flight */
    int ready_count;
    int in_hand; /* contacts, wherever they are */
    int in_flight;
    int adding;          /* AddRecipients in flight */
    int claim_size;      /* contacts; 0: little, as at the start */
    int claim_failures;  /* in a row */
    double next_claim_s; /* not before, after a failure */

    bool is_hungry;         /* there may be work to claim */
    bool was_notified;      /* while a claim was running */
    bool is_token_failing;  /* the last fetch failed */
    bool is_release_wanted; /* give back what we hold, once nothing is in flight */
    bool is_releasing;
    bool is_settle_blocked; /* the database is away: not before the next tick */
    bool is_draining;
    bool is_given_back; /* while draining: the leases */
    bool is_signing_off;
    bool is_past_deadline;

    stop stop;
    suspects suspects; /* contacts that met a fault of the configuration: perhaps their own */
    double last_success_s[ACOUSTIC_TABLES];
    double stopped_at_s[ACOUSTIC_TABLES]; /* because of the table; 0: never */

    struct event *turn;     /* one round of all that can be done, from the loop */
    struct event *deadline; /* of draining */
};

/* Empty. */
void line_init(struct line *l, struct event_base *base, const agent_settings *settings,
               agent_metrics *metrics);
/* Frees calls and contacts, wherever they are. */
void line_clear(struct line *l);
/* Something has changed: another turn. */
void line_turn_soon(struct line *l);

/* ---- contacts --------------------------------------------------------------------- */
/* To another list, or to none (null). */
void line_move_contact(struct line *l, contact *c, struct contact_list *list);
/* The contact needs nothing more, or has failed: its outcome is written next. None of its
 * rows may be in a call. */
void line_settle_contact(struct line *l, contact *c);
/* Forgets a contact without an outcome: its lease runs out, or is given back. */
void line_drop_contact(struct line *l, contact *c);
void line_drop_contacts(struct line *l, struct contact_list *list);
/* The contact has got somewhere, or nowhere: settles or drops it, unless it has yet to go on. */
void line_place_contact(struct line *l, contact *c);
/* Forgets all that is not in flight, and has the leases given back. */
void line_drop_unsent(struct line *l);

/* ---- rows ------------------------------------------------------------------------- */
/* The contact's AddRecipient was accepted: its rows may go. */
void line_queue_rows(struct line *l, contact *c);
/* From the queue of its table into the call, which has room. */
void line_take_row(call *k, contact_row *row);
/* The row leaves its call: settles or drops its contact when it was the last. */
void line_end_row(struct line *l, contact_row *row, bool is_accepted);

/* ---- calls ------------------------------------------------------------------------ */
call *line_new_call(struct line *l, acoustic_table table, bool is_deletion, int row_count);
/* Not its contact and rows. */
void line_free_call(call *k);
/* The call is sent before others. */
void line_put_back_call(call *k);
/* The call will not be sent: its contacts are dropped, unless they have failed. Takes the
 * call over. */
void line_give_up_call(call *k);

/* ---- leases ----------------------------------------------------------------------- */
/* Nothing is in flight, and every outcome that we know is written. */
bool line_is_quiet(const struct line *l);
/* Gives the leases back, if that is wanted and the line is quiet. */
void line_release_leases(struct line *l);

#endif
