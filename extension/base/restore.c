/*
 * base/restore.c: tells whether the session is restoring a dump.
 *
 * The output of pg_dump and pg_restore fires row triggers like any other session, because the
 * tables of an extension, with their triggers, exist before their rows are copied. Such output
 * always begins with "SET check_function_bodies = false" and "SET row_security = off". No
 * ordinary session has a reason to set both.
 */
#include "extension/base/compat.h"

#include "commands/extension.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/rls.h"

#include "extension/base/restore.h"

typedef enum RestoreMode { RESTORE_AUTO, RESTORE_ON, RESTORE_OFF } RestoreMode;

static const struct config_enum_entry restore_modes[] = {
    {"auto", RESTORE_AUTO, false},
    {"on", RESTORE_ON, false},
    {"off", RESTORE_OFF, false},
    {NULL, 0, false},
};

static int restore_mode = RESTORE_AUTO;

PG_FUNCTION_INFO_V1(ctms__is_restoring);

/* Otherwise any user could store rows that validation forbids, just by changing a setting. */
static bool
may_restore(void)
{
    Oid user = GetSessionUserId();
    Oid admin;

    if (superuser_arg(user))
        return true;
    admin = get_role_oid("ctms_admin", true);
    return OidIsValid(admin) && is_member_of_role_nosuper(user, admin);
}

bool
restore_is_running(void)
{
    if (restore_mode == RESTORE_OFF)
        return false;
    if (restore_mode == RESTORE_ON)
        return may_restore();
    if (IsBinaryUpgrade)
        return true;
    /* CREATE EXTENSION itself turns check_function_bodies off, so there the setting tells
     * nothing. */
    return !row_security && (creating_extension || !check_function_bodies) && may_restore();
}

void
restore_init(void)
{
    DefineCustomEnumVariable(
        "ctms.restore_mode", "Whether this session restores a dump of ctms.",
        "During a restore, rows are stored unchanged: nothing is enqueued or validated, and no "
        "update_timestamp changes. \"auto\" recognises the output of pg_dump and pg_restore.",
        &restore_mode, RESTORE_AUTO, restore_modes, PGC_USERSET, 0, NULL, NULL, NULL);
}

/* ctms._is_restoring() → boolean */
Datum
ctms__is_restoring(PG_FUNCTION_ARGS)
{
    PG_RETURN_BOOL(restore_is_running());
}
