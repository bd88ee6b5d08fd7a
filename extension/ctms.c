/*
 * ctms.c: what the server needs to load the library: the magic block and _PG_init.
 *
 * Each unit defines its own settings, triggers and callbacks; _PG_init only calls them all.
 */
#include "extension/base/compat.h"

#include "miscadmin.h"
#include "utils/guc.h"

#include "extension/base/drop_guard.h"
#include "extension/base/gate.h"
#include "extension/base/kept_plan.h"
#include "extension/base/restore.h"
#include "extension/json_schema/sql/cache.h"
#include "extension/queue/agent.h"
#include "extension/queue/flush.h"
#include "extension/queue/memory.h"
#include "extension/waitlist/schema.h"

PG_MODULE_MAGIC;

void
_PG_init(void)
{
    /* PostgreSQL 15 does not set the stack base in a stand-alone server. check_stack_depth() then
     * checks nothing, and a deep recursion runs off the end of the stack. */
    if (!IsPostmasterEnvironment)
        (void)set_stack_base();
    restore_init();
    gate_init();
    queue_flush_init();
    drop_guard_init();
    kept_plan_init();
    queue_agent_init();
    queue_memory_init();
    json_schema_cache_init();
    json_schema_registry_init();
    waitlist_schema_init();
    MarkGUCPrefixReserved("ctms");
}
