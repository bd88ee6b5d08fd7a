/*
 * queue/plan.h: the statements of the queue, each prepared once per session.
 */
#ifndef CTMS_QUEUE_PLAN_H
#define CTMS_QUEUE_PLAN_H

#include "postgres.h"

#include "executor/spi.h"

#define QUEUE_PLAN_MAX_ARGS 9

/* A static object in the file that runs the statement. Its last member starts as null. */
typedef struct QueuePlan {
    const char *sql;
    int arg_count;
    Oid arg_types[QUEUE_PLAN_MAX_ARGS];
    bool is_read_only; /* reads with the caller's snapshot */
    bool sees_latest;  /* reads with the latest snapshot, at each isolation level */
    bool is_retried;   /* ON CONFLICT misses conflicts with other indexes than its own */
    SPIPlanPtr plan;
} QueuePlan;

/*
 * Runs the statement, between SPI_connect() and SPI_finish(), and returns SPI_processed;
 * SPI_tuptable has the rows that it returns. In "nulls" (in the form that SPI takes), 'n' marks a
 * null. Raises an error unless SPI answers "expected".
 */
extern uint64 queue_run_plan(QueuePlan *plan, Datum *args, const char *nulls, int expected);

/* What queue_become_owner() and queue_start_sql() changed. */
typedef struct QueueOwner {
    Oid user;
    int security_context;
    int search_path;
} QueueOwner;

/*
 * From here to queue_restore_user() the session acts as the owner of the queue, whom no row
 * security restricts. An error restores the user.
 */
extern void queue_become_owner(QueueOwner *saved);
/* The same for another relation; false, and nothing is changed, when it does not exist. */
extern bool queue_become_owner_of(Oid relation, QueueOwner *saved);
extern void queue_restore_user(const QueueOwner *saved);

/*
 * Statements can be run from here to queue_end_sql(). They run as the owner of the queue, and a
 * name without a schema means the one in pg_catalog. If an error is raised in between, all this is
 * restored automatically.
 */
extern void queue_start_sql(QueueOwner *saved);
extern void queue_end_sql(const QueueOwner *saved);

#endif
