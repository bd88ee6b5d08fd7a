/*
 * line.h: the line: the lists in which contacts, their rows and calls are, and the functions that
 * move them. It makes no decisions.
 *
 * The files that work on the line stand on this one and call one another only downwards. claim.c
 * fills it, send.c sends from it, outcome.c acts on answers, stop.c stops it, drain.c empties it;
 * sync.c calls them in turn.
 *
 * At any time a contact is in exactly one of these:
 *   ready      claimed, its AddRecipient not sent; a list for each lane
 *   (a call)   its AddRecipient is in flight, or waits to be sent again (RemoveRecipient, when
 *              it is deleted)
 *   halfway    accepted; its rows wait in the queues of their tables or are in calls
 *   outcomes   done or failed, to be written to the queue; then queue.c has it
 */
#ifndef AGENT_LINE_H
#define AGENT_LINE_H

#include <event2/event.h>

#include "acoustic/token.h"
#include "agent/contact.h"
#include "agent/metrics.h"
#include "agent/pace.h"
#include "agent/queue.h"
#include "agent/rate.h"
#include "agent/settings.h"
#include "agent/share.h"
#include "agent/suspects.h"
#include "common/http_client.h"

/* A kind is the rows of one table that may share a call: those to store, or those to delete. */
enum { ROW_KINDS = 2 * ACOUSTIC_TABLES };

static inline int
line_row_kind(acoustic_table table, bool is_deletion)
{
    return (int)table + (is_deletion ? ACOUSTIC_TABLES : 0);
}

/* While contacts of both lanes wait, one AddRecipient of a bulk contact follows so many of live
 * ones. */
enum { LIVE_PER_BULK = 9 };

/* A request to the XML API: one contact's AddRecipient or RemoveRecipient, or rows of one
 * table, to be stored or to be deleted. */
typedef struct call {
    struct line *line;
    acoustic_table table;
    bool is_deletion;
    contact *contact; /* for AddRecipient and RemoveRecipient */
    contact_row **rows;
    int row_count;
    double started_s;
    unsigned token_number;
    bool was_refused; /* because of its token; happens once at most */
    bool was_closed;  /* with a kept connection, before an answer; the same */
    bool is_half;     /* half of a call that failed as a whole */
    double halved_at_s;
    int overloads; /* times it was refused because of too many requests */
    TAILQ_ENTRY(call) link;
} call;

TAILQ_HEAD(call_list, call);

/* Why the line is stopped. While it is set, requests are tried one at a time. */
typedef struct stop {
    failure_class class; /* CLASS_SUCCESS: not stopped */
    acoustic_table table;
    double since_s;
    double until_s; /* no request before this time */
    int count;      /* stops since the table last worked */
    int good_calls; /* successful calls since the last stop */
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
    rate rate;

    struct contact_list ready[LANES], halfway, outcomes;
    struct row_list waiting[ROW_KINDS][LANES];
    int waiting_counts[ROW_KINDS]; /* of both lanes */
    struct call_list again;        /* calls to send before all others */
    struct call_list sent;         /* in flight */
    int ready_counts[LANES];
    int in_hand; /* contacts, in all lists and calls */
    int in_flight;
    int adding;             /* AddRecipients in flight */
    int live_in_a_row;      /* AddRecipients of live contacts since the last bulk one */
    int claim_sizes[LANES]; /* contacts; 0: small, as at the start */
    int claim_failures;     /* in a row */
    double bulk_claimed_s;  /* when bulk contacts were claimed last */
    double next_claim_s;    /* after a failure no claim before this time */
    double next_look_s;     /* for live contacts; 0: none is planned */
    double next_live_s;     /* no look for live contacts alone before this time */
    int vain_looks;         /* of those, in a row */
    double look_wait_s;     /* between the last two looks */

    bool is_hungry[LANES];  /* the queue may have contacts to claim */
    bool is_waiting;        /* the next change notifies us: a claim found nothing */
    bool was_notified;      /* a notification came while a claim was running */
    bool is_token_failing;  /* the last fetch failed */
    bool is_release_wanted; /* give the leases back as soon as nothing is in flight */
    bool is_releasing;
    bool is_settle_blocked; /* the database is away: wait for the next tick */
    bool is_draining;
    bool is_given_back; /* the leases were given back while draining */
    bool is_signing_off;
    bool is_past_deadline;

    stop stop;
    suspects suspects; /* contacts that met a fault of the configuration and may be its cause */
    double last_success_s[ACOUSTIC_TABLES];
    double stopped_at_s[ACOUSTIC_TABLES]; /* because of this table; 0: never */

    struct event *turn;     /* runs one turn: everything that can be done now */
    struct event *deadline; /* of draining */
};

/* Makes an empty line. */
void line_init(struct line *l, struct event_base *base, const agent_settings *settings,
               agent_metrics *metrics);
/* Frees all calls and contacts. */
void line_clear(struct line *l);
/* Something has changed: asks for another turn. */
void line_turn_soon(struct line *l);
/* The queue may have contacts to claim, in both lanes. */
void line_look_soon(struct line *l);
/* Claimed contacts whose AddRecipient is not sent, in both lanes. */
int line_count_ready(const struct line *l);

/* ---- contacts --------------------------------------------------------------------- */
/* Moves the contact to another list, or to none (null). */
void line_move_contact(struct line *l, contact *c, struct contact_list *list);
/* The contact is finished or has failed: its outcome will be written next. None of its rows may be
 * in a call. */
void line_settle_contact(struct line *l, contact *c);
/* Drops a contact without an outcome: its lease expires or is given back. */
void line_drop_contact(struct line *l, contact *c);
void line_drop_contacts(struct line *l, struct contact_list *list);
void line_drop_ready(struct line *l);
/* A call of the contact has ended: settles or drops the contact, unless there is more to send. */
void line_place_contact(struct line *l, contact *c);
/* Drops everything that is not in flight, and gives the leases back. */
void line_drop_unsent(struct line *l);

/* ---- rows ------------------------------------------------------------------------- */
/* The contact's AddRecipient was accepted: its rows may be sent. */
void line_queue_rows(struct line *l, contact *c);
/* Moves a row from the queue of its table into the call, which has room. */
void line_take_row(call *k, contact_row *row);
/* The row leaves its call. If it was the last row of its contact, the contact is settled or
 * dropped. */
void line_end_row(struct line *l, contact_row *row, bool is_accepted);

/* ---- calls ------------------------------------------------------------------------ */
call *line_new_call(struct line *l, acoustic_table table, bool is_deletion, int row_count);
/* Does not free its contact and rows. */
void line_free_call(call *k);
/* The call will be sent before all others. */
void line_put_back_call(call *k);
/* The call will not be sent: its contacts are dropped, unless they have failed. Frees the call. */
void line_give_up_call(call *k);

/* ---- leases ----------------------------------------------------------------------- */
/* Nothing is in flight, and every known outcome has been written. */
bool line_is_quiet(const struct line *l);
/* Gives the leases back, if that is wanted and the line is quiet. */
void line_release_leases(struct line *l);

#endif
