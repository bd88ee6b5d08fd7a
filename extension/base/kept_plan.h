/*
 * base/kept_plan.h: statements that are prepared and planned once in a session.
 */
#ifndef CTMS_BASE_KEPT_PLAN_H
#define CTMS_BASE_KEPT_PLAN_H

#include "postgres.h"

#include "executor/spi.h"

/* Prepares the statement when *plan is NULL, and keeps it. Needs an SPI connection. */
extern SPIPlanPtr
kept_plan_prepare(SPIPlanPtr *plan, const char *sql, int parameter_count, Oid *types);

/*
 * SPI_execute_plan() for a plan of kept_plan_prepare(). If the statement has to be planned, the
 * plan uses indexes. Raises an error unless SPI answers `expected` (0: any success). Returns
 * SPI_processed.
 */
extern uint64 kept_plan_execute(SPIPlanPtr plan, Datum *values, const char *nulls,
                                bool is_read_only, int expected);

/* Whether the next run can use the plan as it is, without planning first. */
extern bool kept_plan_is_ready(SPIPlanPtr plan);

typedef enum KeptPlanAccess {
    KEPT_PLAN_BY_INDEX,   /* like kept_plan_execute() */
    KEPT_PLAN_ROW_BY_ROW, /* the same, and without bitmap scans */
    KEPT_PLAN_BY_BITMAP   /* for conditions joined by OR, each with an index of its own */
} KeptPlanAccess;

/*
 * From here to AtEOXact_GUC(true, level) the planner uses this kind of access, whatever the
 * statistics say. It may also enclose kept_plan_execute(). Returns the level.
 */
extern int kept_plan_prefer(KeptPlanAccess access);

#endif
