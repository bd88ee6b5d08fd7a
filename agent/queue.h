/*
 * queue.h: the agent's part of ctms.pending_acoustic: short statements, each a transaction of its
 * own, sent through the pool. No function here waits; results come by callbacks. sync.c sets it up.
 *
 * Rows are claimed with a lease, under the agent's name. If an answer is lost, a claim may have
 * succeeded without our knowledge. queue_has_lost() tells that; releasing then gives the rows back
 * before their lease ends.
 */
#ifndef AGENT_QUEUE_H
#define AGENT_QUEUE_H

#include "agent/contact.h"
#include "agent/settings.h"
#include "common/pg_pool.h"

typedef struct queue queue;

typedef struct queue_backlog {
    long long waiting;      /* contacts to be sent */
    long long failed;       /* contacts that have failed since they changed */
    long long lanes[LANES]; /* contacts to be sent */
    double ages_s[LANES];   /* ages of the oldest changes that are ready to be sent */
} queue_backlog;

typedef struct queue_claim_result {
    int limit;          /* how many contacts were asked for; if there are fewer, no more wait */
    int bulk_limit;     /* how many of them could be bulk */
    int claimed[LANES]; /* how many there were in each lane */
} queue_claim_result;

typedef struct queue_events {
    /* Contacts were claimed and their rows were read; the receiver owns them. Contacts that were
     * deleted meanwhile are missing. */
    void (*claimed)(void *arg, struct contact_list *contacts, const queue_claim_result *result);
    /* The claim failed: nothing was claimed, or the answer was lost. */
    void (*claim_failed)(void *arg);
    /* The outcomes of contacts were written, or could not be written (is_written). is_work_left:
     * some contacts were changed meanwhile and wait again. */
    void (*settled)(void *arg, struct contact_list *contacts, bool is_written, bool is_work_left);
    void (*released)(void *arg, bool is_written);
    /* Null: the database did not tell. */
    void (*backlog)(void *arg, const queue_backlog *backlog);
    /* The result of ctms.acoustic_configuration(). */
    void (*configuration)(void *arg, const char *json);
} queue_events;

queue *
queue_new(pg_pool *pool, const agent_settings *settings, const queue_events *events, void *arg);
void queue_free(queue *q);
/* The agent's name in leases: host, process and a random number. */
const char *queue_agent_name(const queue *q);

/* Claims contacts, at most bulk_limit of them bulk. Only one claim runs at a time. False while one
 * is running, or when the database is away. */
bool queue_claim(queue *q, int limit, int bulk_limit);
bool queue_is_claiming(const queue *q);
/* Finishes the contacts that have not failed, and fails the others, with one statement for each
 * kind. Owns the contacts until it returns them with settled(), which may happen at once. Only one
 * settling runs at a time. */
void queue_settle(queue *q, struct contact_list *contacts);
bool queue_is_settling(const queue *q);
/* Gives back everything that the agent has claimed. False when the database is away. */
bool queue_release(queue *q);
bool queue_has_lost(const queue *q);
bool queue_ask_backlog(queue *q);
/* Asks for the configuration; on failure nothing happens. */
void queue_ask_configuration(queue *q);
/* Has the database remove some of the refused Stripe objects and of the history that are too old; a
 * failure is only logged. */
void queue_forget_old(queue *q);
bool queue_is_database_up(const queue *q);

#endif
