/*
 * base/kept_plan.h: statements that are prepared and planned once in a session.
 */
#ifndef CTMS_BASE_KEPT_PLAN_H
#define CTMS_BASE_KEPT_PLAN_H

#include "postgres.h"

#include "executor/spi.h"

/* How the planner is made to reach rows, whatever the statistics and the user's settings say. */
typedef enum KeptPlanAccess {
    KEPT_PLAN_BY_INDEX,
    KEPT_PLAN_ROW_BY_ROW, /* by index, and without bitmap scans */
    KEPT_PLAN_BY_BITMAP   /* for conditions joined by OR, each with an index of its own */
} KeptPlanAccess;

/* Hooks into the planner. Called once, by _PG_init. */
extern void kept_plan_init(void);

/*
 * Prepares the statement when *plan is NULL, and keeps it until the session ends; it must not be
 * freed. Whenever and however it is run, its plan uses that access. Needs an SPI connection.
 */
extern SPIPlanPtr kept_plan_prepare_by(SPIPlanPtr *plan, KeptPlanAccess access, const char *sql,
                                       int parameter_count, Oid *types);

/* The same with KEPT_PLAN_BY_INDEX. */
extern SPIPlanPtr
kept_plan_prepare(SPIPlanPtr *plan, const char *sql, int parameter_count, Oid *types);

/*
 * SPI_execute_plan() for a kept plan. Raises an error unless SPI answers `expected` (0: any
 * success). Returns SPI_processed.
 */
extern uint64 kept_plan_execute(SPIPlanPtr plan, Datum *values, const char *nulls,
                                bool is_read_only, int expected);

#endif
