/*
 * queue.h: the agent's side of ctms.pending_acoustic: short statements, each a transaction
 * of its own, through the pool. Nothing here waits.
 *
 * Rows are claimed under the agent's name with a lease. When an answer is lost, a claim may
 * have happened that nobody knows of: queue_has_lost() then says so, and releasing gives
 * the rows back sooner than their lease ends.
 */
#ifndef AGENT_QUEUE_H
#define AGENT_QUEUE_H

#include "agent/contact.h"
#include "agent/settings.h"
#include "common/pg_pool.h"

typedef struct queue queue;

/* Values below zero are not known. */
typedef struct queue_backlog {
    long long waiting; /* to be sent */
    long long failed;  /* have failed since they changed */
    double age_s;      /* of the oldest change that is ready to be sent */
} queue_backlog;

typedef struct queue_events {
    /*
     * Contacts were claimed and their rows read: they are the receiver's now. Contacts that
     * are gone meanwhile are not among them. limit: how many were asked for; claimed: how
     * many were got; claimed < limit means that no more are waiting.
     */
    void (*claimed)(void *arg, struct contact_list *contacts, int claimed, int limit);
    /* It failed; nothing was claimed, or nobody knows. */
    void (*claim_failed)(void *arg);
    /* The outcome of contacts was written, or could not be: is_written. is_work_left: some
     * were changed meanwhile, and wait again. */
    void (*settled)(void *arg, struct contact_list *contacts, bool is_written, bool is_work_left);
    void (*released)(void *arg, bool is_written);
    void (*backlog)(void *arg, const queue_backlog *backlog);
    /* What ctms.acoustic_configuration() says. */
    void (*configuration)(void *arg, const char *json);
} queue_events;

queue *
queue_new(pg_pool *pool, const agent_settings *settings, const queue_events *events, void *arg);
void queue_free(queue *q);
/* The agent's name in leases: host, process and a random number. */
const char *queue_agent_name(const queue *q);

/* At most one claim runs at a time: false when one does, or when the database is away. */
bool queue_claim(queue *q, int limit);
bool queue_is_claiming(const queue *q);
/* Finishes what has not failed and fails what has, in a statement each; takes the contacts
 * over and gives them back with settled(), which may be called at once. One settling at a time. */
void queue_settle(queue *q, struct contact_list *contacts);
bool queue_is_settling(const queue *q);
/* Gives back everything that the agent holds. False when the database is away. */
bool queue_release(queue *q);
bool queue_has_lost(const queue *q);
bool queue_ask_backlog(queue *q);
/* Asks for the configuration; nothing happens when that fails. */
void queue_ask_configuration(queue *q);
bool queue_is_database_up(const queue *q);

#endif
