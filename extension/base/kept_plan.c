/*
 * base/kept_plan.c: statements that are prepared and planned once in a session.
 *
 * Each statement has one plan for all values. By default PostgreSQL makes a new plan for a call
 * when it expects that to pay off, and planning costs more than our statements do. Also, a plan
 * that was made while the tables were small scans them from end to end, even after they have
 * grown. So these plans are forced to use indexes, row by row, which is right for tables of any
 * size.
 */
#include "extension/base/compat.h"

#include "extension/base/kept_plan.h"

#include "utils/plancache.h"

static void
avoid(const char *what)
{
    set_config_option(what, "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

int
kept_plan_prefer(KeptPlanAccess access)
{
    int level = NewGUCNestLevel();

    avoid("enable_seqscan");
    avoid("enable_hashjoin");
    avoid("enable_mergejoin");
    /* A table without a suitable index then gets a huge cost, which would start JIT compilation. */
    avoid("jit");
    if (access == KEPT_PLAN_ROW_BY_ROW)
        avoid("enable_bitmapscan");
    /* Otherwise the planner would scan small tables from end to end in the order of an index. */
    if (access == KEPT_PLAN_BY_BITMAP) {
        avoid("enable_indexscan");
        avoid("enable_indexonlyscan");
    }
    return level;
}

SPIPlanPtr
kept_plan_prepare(SPIPlanPtr *plan, const char *sql, int parameter_count, Oid *types)
{
    SPIPlanPtr prepared;

    if (*plan != NULL)
        return *plan;
    prepared = SPI_prepare_cursor(sql, parameter_count, types, CURSOR_OPT_GENERIC_PLAN);
    if (prepared == NULL)
        elog(ERROR, "could not prepare \"%s\": %s", sql, SPI_result_code_string(SPI_result));
    if (SPI_keepplan(prepared) != 0)
        elog(ERROR, "could not keep the plan of \"%s\"", sql);
    *plan = prepared;
    return prepared;
}

bool
kept_plan_is_ready(SPIPlanPtr plan)
{
    CachedPlanSource *source;

    if (plan == NULL)
        return false;
    source = linitial(SPI_plan_get_plan_sources(plan));
    return source->is_valid && source->gplan != NULL && source->gplan->is_valid;
}

uint64
kept_plan_execute(SPIPlanPtr plan, Datum *values, const char *nulls, bool is_read_only,
                  int expected)
{
    int level = kept_plan_is_ready(plan) ? 0 : kept_plan_prefer(KEPT_PLAN_BY_INDEX);
    int result = SPI_execute_plan(plan, values, nulls, is_read_only, 0);

    if (expected == 0 ? result < 0 : result != expected)
        elog(ERROR, "unexpected result of a statement: %s", SPI_result_code_string(result));
    if (level > 0)
        AtEOXact_GUC(true, level);
    return SPI_processed;
}
