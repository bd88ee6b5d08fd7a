/*
 * base/kept_plan.c: statements that are prepared and planned once in a session.
 *
 * Each statement has one plan for all values. By default PostgreSQL makes a new plan for a call
 * when it expects that to pay off, and planning costs more than our statements do. Also, a plan
 * that was made while the tables were small scans them from end to end, even after they have
 * grown. So these plans are forced to use indexes, row by row, which is right for tables of any
 * size.
 *
 * A statement can be planned again at any run, because of a change that another session has just
 * committed. So the settings are not made around a run, but by a hook, when the planner is called
 * for a statement of ours. They hold for this call alone: not for the statements of triggers that
 * the run fires.
 */
#include "extension/base/compat.h"

#include "extension/base/kept_plan.h"

#include "optimizer/planner.h"
#include "utils/memutils.h"
#include "utils/plancache.h"

/* A plan source has its own copy of the statement, for ever: its address tells which one it is. */
typedef struct KeptStatement {
    struct KeptStatement *next;
    const char *text;
    KeptPlanAccess access;
} KeptStatement;

static KeptStatement *statements;
static planner_hook_type previous_hook = NULL;

static void
set(const char *what, bool is_on)
{
    set_config_option(what, is_on ? "on" : "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true,
                      0, false);
}

/* The user's own settings must not matter, so each is set, also to its default. */
static void
prefer(KeptPlanAccess access)
{
    set("enable_seqscan", false);
    set("enable_hashjoin", false);
    set("enable_mergejoin", false);
    set("enable_nestloop", true);
    set("enable_sort", true);
    set("enable_tidscan", true);
    /* Otherwise the planner would scan small tables from end to end in the order of an index. */
    set("enable_indexscan", access != KEPT_PLAN_BY_BITMAP);
    set("enable_indexonlyscan", access != KEPT_PLAN_BY_BITMAP);
    set("enable_bitmapscan", access != KEPT_PLAN_ROW_BY_ROW);
    /* A table without a suitable index then gets a huge cost, which would start JIT compilation. */
    set("jit", false);
}

static PlannedStmt *
make_plan(Query *query, const char *text, int cursor_options, ParamListInfo parameters)
{
    planner_hook_type next = previous_hook ? previous_hook : standard_planner;
    const KeptStatement *statement = statements;
    PlannedStmt *plan;
    int level;

    while (statement && statement->text != text)
        statement = statement->next;
    if (!statement)
        return next(query, text, cursor_options, parameters);
    /* If an error is raised, the end of the (sub)transaction resets the settings. */
    level = NewGUCNestLevel();
    prefer(statement->access);
    plan = next(query, text, cursor_options, parameters);
    AtEOXact_GUC(true, level);
    return plan;
}

void
kept_plan_init(void)
{
    previous_hook = planner_hook;
    planner_hook = make_plan;
}

static void
remember(SPIPlanPtr plan, KeptPlanAccess access)
{
    const CachedPlanSource *source = linitial(SPI_plan_get_plan_sources(plan));
    KeptStatement *statement = MemoryContextAlloc(TopMemoryContext, sizeof(*statement));

    statement->text = source->query_string;
    statement->access = access;
    statement->next = statements;
    statements = statement;
}

SPIPlanPtr
kept_plan_prepare_by(SPIPlanPtr *plan, KeptPlanAccess access, const char *sql, int parameter_count,
                     Oid *types)
{
    SPIPlanPtr prepared;

    if (*plan != NULL)
        return *plan;
    prepared = SPI_prepare_cursor(sql, parameter_count, types, CURSOR_OPT_GENERIC_PLAN);
    if (prepared == NULL)
        elog(ERROR, "could not prepare \"%s\": %s", sql, SPI_result_code_string(SPI_result));
    if (SPI_keepplan(prepared) != 0)
        elog(ERROR, "could not keep the plan of \"%s\"", sql);
    remember(prepared, access);
    *plan = prepared;
    return prepared;
}

SPIPlanPtr
kept_plan_prepare(SPIPlanPtr *plan, const char *sql, int parameter_count, Oid *types)
{
    return kept_plan_prepare_by(plan, KEPT_PLAN_BY_INDEX, sql, parameter_count, types);
}

uint64
kept_plan_execute(SPIPlanPtr plan, Datum *values, const char *nulls, bool is_read_only,
                  int expected)
{
    int result = SPI_execute_plan(plan, values, nulls, is_read_only, 0);

    if (expected == 0 ? result < 0 : result != expected)
        elog(ERROR, "unexpected result of a statement: %s", SPI_result_code_string(result));
    return SPI_processed;
}
