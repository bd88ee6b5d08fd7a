/*
 * queue/plan.h: the statements of the queue, each prepared once per session.
 */
#ifndef CTMS_QUEUE_PLAN_H
#define CTMS_QUEUE_PLAN_H

#include "postgres.h"

#include "executor/spi.h"

#define QUEUE_PLAN_MAX_ARGS 9

/* A static object of the unit that runs the statement; its last member starts as null. */
typedef struct QueuePlan {
    const char *sql;
    int arg_count;
    Oid arg_types[QUEUE_PLAN_MAX_ARGS];
    bool is_read_only; /* reads with the caller's snapshot */
    SPIPlanPtr plan;
} QueuePlan;

/*
 * Runs the statement, inside SPI_connect()/SPI_finish(), and returns SPI_processed;
 * SPI_tuptable has what it returns. A null in "nulls" (as SPI takes it) is 'n'. Raises an
 * error unless SPI answers "expected".
 */
extern uint64 queue_run_plan(QueuePlan *plan, Datum *args, const char *nulls, int expected);

/* What queue_start_sql() changed. */
typedef struct QueueOwner {
    Oid user;
    int security_context;
    int search_path;
} QueueOwner;

/*
 * From here to queue_end_sql() statements can be run: as the owner of the queue, with a
 * snapshot of their own, and finding nothing but pg_catalog without a schema. An error in
 * between undoes all that by itself.
 */
extern void queue_start_sql(QueueOwner *saved);
extern void queue_end_sql(const QueueOwner *saved);

#endif
