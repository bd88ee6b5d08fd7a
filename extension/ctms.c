/*
 * ctms.c: what the server needs to load the library: the magic block and _PG_init; and the version
 * of the library.
 *
 * Each unit defines its own settings, triggers and callbacks; _PG_init only calls them all.
 */
#include "extension/base/compat.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "extension/base/drop_guard.h"
#include "extension/base/gate.h"
#include "extension/base/kept_plan.h"
#include "extension/base/memory_limit.h"
#include "extension/base/restore.h"
#include "extension/base/settings.h"
#include "extension/json_schema/sql/cache.h"
#include "extension/queue/flush.h"
#include "extension/waitlist/schema.h"

/* The version whose SQL objects this library belongs to: default_version of ctms.control. */
#define LIBRARY_VERSION "1.0"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(ctms_library_version);

void
_PG_init(void)
{
    /* PostgreSQL 15 does not set the stack base in a stand-alone server. check_stack_depth() then
     * checks nothing, and a deep recursion runs off the end of the stack. */
    if (!IsPostmasterEnvironment)
        (void)set_stack_base();
    restore_init();
    settings_init();
    gate_init();
    queue_flush_init();
    drop_guard_init();
    kept_plan_init();
    memory_limit_init();
    json_schema_cache_init();
    json_schema_registry_init();
    waitlist_schema_init();
    MarkGUCPrefixReserved("ctms");
}

Datum
ctms_library_version(PG_FUNCTION_ARGS)
{
    PG_RETURN_TEXT_P(cstring_to_text(LIBRARY_VERSION));
}
