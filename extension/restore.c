/*
 * restore.c: tells whether the session restores a dump.
 *
 * The output of pg_dump and pg_restore fires row triggers like any other session: the
 * tables of an extension exist, with their triggers, before their rows are copied. What
 * such output always begins with is "SET check_function_bodies = false" and "SET
 * row_security = off"; no ordinary session has a reason for both.
 */
#include "compat.h"

#include "commands/extension.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/rls.h"

#include "restore.h"

typedef enum RestoreMode { RESTORE_AUTO, RESTORE_ON, RESTORE_OFF } RestoreMode;

static const struct config_enum_entry restore_modes[] = {
    {"auto", RESTORE_AUTO, false},
    {"on", RESTORE_ON, false},
    {"off", RESTORE_OFF, false},
    {NULL, 0, false},
};

static int restore_mode = RESTORE_AUTO;

PG_FUNCTION_INFO_V1(ctms__is_restoring);

bool
ctms_is_restoring(void)
{
    if (restore_mode != RESTORE_AUTO)
        return restore_mode == RESTORE_ON;
    if (IsBinaryUpgrade)
        return true;
    /* CREATE EXTENSION turns check_function_bodies off by itself: it says nothing there. */
    return !row_security && (creating_extension || !check_function_bodies);
}

void
ctms_restore_init(void)
{
    DefineCustomEnumVariable(
        "ctms.restore_mode", "Whether this session restores a dump of ctms.",
        "While restoring, rows are stored as they come: nothing is enqueued or validated, and no "
        "update_timestamp is moved. \"auto\" recognises the output of pg_dump and pg_restore.",
        &restore_mode, RESTORE_AUTO, restore_modes, PGC_USERSET, 0, NULL, NULL, NULL);
}

/* ctms._is_restoring() → boolean */
Datum
ctms__is_restoring(PG_FUNCTION_ARGS)
{
    PG_RETURN_BOOL(ctms_is_restoring());
}
