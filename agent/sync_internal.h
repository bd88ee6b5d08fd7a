/*
 * sync_internal.h: what the files of the line share: sync.c (turns, settling), claim.c, send.c
 * (calls), outcome.c (what follows from answers), stop.c, drain.c. Nobody else includes it.
 *
 * Where a contact is, at any time exactly one of:
 *   ready      claimed, its AddRecipient not sent
 *   (a call)   its AddRecipient is in flight, or waits to be sent again (RemoveRecipient, when
 *              it is deleted)
 *   halfway    accepted; its rows wait in the queues of their tables or are in calls
 *   outcomes   done or failed, to be written to the queue; then queue.c has it
 */
#ifndef AGENT_SYNC_INTERNAL_H
#define AGENT_SYNC_INTERNAL_H

#include "agent/acoustic/token.h"
#include "agent/contact.h"
#include "agent/pace.h"
#include "agent/queue.h"
#include "agent/report.h"
#include "agent/share.h"
#include "agent/sync.h"
#include "common/http_client.h"

enum { ROWS_PER_CALL = 100, SUSPECTS_MAX = 256 };

/* Rows of one table that may share a call: those to be stored, and those to be deleted. */
enum { LANES = 2 * ACOUSTIC_TABLES };

static inline int
lane_of(acoustic_table table, bool is_deletion)
{
    return (int)table + (is_deletion ? ACOUSTIC_TABLES : 0);
}

/* A request to the XML API: one contact's AddRecipient or RemoveRecipient, or rows of one
 * table, to be stored or to be deleted. */
typedef struct call {
    struct sync *sync;
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

/* A contact that met a configuration fault: perhaps it is its own fault. */
typedef struct suspect {
    char email_id[EMAIL_ID_SIZE];
    acoustic_table table;
    double since_s;
} suspect;

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

struct sync {
    struct event_base *base;
    sync_options options;
    const agent_settings *settings;
    http_client *http;
    token_source *tokens;
    queue *queue;
    share *share;
    catalog *known;
    report report;
    pace pace;

    struct contact_list ready, halfway, outcomes;
    struct row_list waiting[LANES];
    int waiting_counts[LANES];
    struct call_list again; /* calls to be sent before others */
    struct call_list sent;  /* in flight */
    int ready_count;
    int in_hand; /* contacts, wherever they are */
    int in_flight;
    int adding; /* AddRecipients in flight */
    int claim_size;
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
    bool is_reporting;

    stop stop;
    suspect suspects[SUSPECTS_MAX];
    int suspect_count; /* grows; the ring holds the last ones */
    double last_success_s[ACOUSTIC_TABLES];
    double stopped_at_s[ACOUSTIC_TABLES]; /* because of the table; 0: never */
    double last_report_s;

    struct event *turn;  /* one round of all that can be done, from the loop */
    struct event *alarm; /* the next moment at which something is due */
    struct event *tick;  /* each loop interval */
    struct event *deadline;
};

/* ---- sync.c ----------------------------------------------------------------------- */
/* Something has changed: another turn. */
void sync_turn_soon(struct sync *s);
/* To another list, or to none (null). */
void sync_move(struct sync *s, contact *c, struct contact_list *list);
/* The contact needs nothing more, or has failed: its outcome is written next. None of its
 * rows may be in a call. */
void sync_settle(struct sync *s, contact *c);
/* Forgets a contact without an outcome: its lease runs out, or is given back. */
void sync_drop(struct sync *s, contact *c);
void sync_drop_list(struct sync *s, struct contact_list *list);
/* Forgets all that is not in flight, and has the leases given back. */
void sync_drop_unsent(struct sync *s);

/* Nothing is in flight, and every outcome that we know is written. */
bool sync_is_quiet(const struct sync *s);
/* Gives the leases back, if that is wanted and the line is quiet. */
void sync_release(struct sync *s);

/* Shows in the metrics whether the line stands still. */
void sync_show_stop(struct sync *s);

/* ---- claim.c ---------------------------------------------------------------------- */
void claim_start_small(struct sync *s);
/* Claims, if that is wanted and may be. */
void claim_ahead(struct sync *s);
/* Callbacks of the queue. */
void claim_done(void *arg, struct contact_list *contacts, int claimed, int limit);
void claim_failed(void *arg);

/* ---- drain.c ---------------------------------------------------------------------- */
void drain_turn(struct sync *s);
void drain_deadline(evutil_socket_t fd, short what, void *arg);

/* ---- send.c ----------------------------------------------------------------------- */
/* Sends as much as may be sent now. */
void send_all(struct sync *s);
/* Nothing may be sent just now, whatever waits. */
bool send_is_held_back(const struct sync *s);
/* More is to be sent at once than we have slots for. */
bool send_is_short_of_slots(const struct sync *s);
/* When send_all() could send more without anything else happening; 0: never. */
double send_next_due_s(const struct sync *s);
/* The contact's AddRecipient was accepted: its rows may go. */
void send_queue_rows(struct sync *s, contact *c);
/* Takes those that wait out of their queues. */
void send_forget_rows(struct sync *s, contact *c);
call *call_new(struct sync *s, acoustic_table table, bool is_deletion, int row_count);
/* Not its contact and rows. */
void call_free(call *k);
/* The lease may end before an answer is in and its outcome written: do not begin. */
bool send_is_too_late(const struct sync *s, const contact *c, double now_s);

/* ---- outcome.c -------------------------------------------------------------------- */
/* What follows from the answer to a call; takes the call over. */
void outcome_of_call(call *k, const http_client_answer *http);
/* A row has left its call: settles or drops its contact when it was the last. */
void outcome_of_row(struct sync *s, contact_row *row, bool is_accepted);
/* The call will not be sent: its contacts are dropped, unless they have failed. Takes the
 * call over. */
void outcome_give_up(call *k);
bool outcome_is_suspect(const struct sync *s, const contact *c);

/* ---- stop.c ----------------------------------------------------------------------- */
/* Stops the line: nothing is sent for a while, then one request at a time. k: the call that
 * brought it about. */
void stop_line(struct sync *s, failure_class class, const call *k, const char *why);
/* A call went well: perhaps the line can run again. */
void stop_note_success(struct sync *s, const call *k);

#endif
