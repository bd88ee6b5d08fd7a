/*
 * base/drop_guard.c: refuses to drop the extension while it holds contacts.
 *
 * Many commands can drop it: DROP EXTENSION, DROP SCHEMA ... CASCADE, DROP OWNED, or dropping a
 * language or another extension with CASCADE. All of them drop the table ctms.emails as a member
 * of the extension, so this file watches that table. An event trigger on these commands makes
 * sure that the library is loaded by then (extension/sql/96_drop_guard.sql).
 */
#include "extension/base/compat.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "commands/extension.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "extension/base/drop_guard.h"

static bool is_drop_allowed = false;
static object_access_hook_type previous_hook = NULL;

PG_FUNCTION_INFO_V1(ctms__watch_drops);

static bool
is_our_contact_table(Oid relation)
{
    char *name = get_rel_name(relation);
    Oid extension;

    if (!name || strcmp(name, "emails") != 0)
        return false;
    extension = get_extension_oid("ctms", true);
    return OidIsValid(extension) && getExtensionOfObject(RelationRelationId, relation) == extension;
}

static bool
has_rows(Oid table)
{
    Relation relation = table_open(table, AccessShareLock);
    Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
    TableScanDesc scan = table_beginscan(relation, snapshot, 0, NULL);
    TupleTableSlot *slot = table_slot_create(relation, NULL);
    bool is_found = table_scan_getnextslot(scan, ForwardScanDirection, slot);

    ExecDropSingleTupleTableSlot(slot);
    table_endscan(scan);
    UnregisterSnapshot(snapshot);
    table_close(relation, AccessShareLock);
    return is_found;
}

static void
watch_drops(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *arg)
{
    if (previous_hook)
        previous_hook(access, class_id, object_id, sub_id, arg);
    /* An upgrade script may replace the table. */
    if (access != OAT_DROP || class_id != RelationRelationId || sub_id != 0 || is_drop_allowed ||
        creating_extension)
        return;
    if (is_our_contact_table(object_id) && has_rows(object_id))
        ereport(
            ERROR, errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
            errmsg("cannot drop extension \"%s\" because it holds contacts", "ctms"),
            errdetail("Contacts, waitlists, Stripe objects and the Acoustic queue would be lost."),
            errhint("To drop them anyway, set \"ctms.allow_drop\" to on first."));
}

/* ctms._watch_drops() → void. It does nothing itself: calling it loads the library. */
Datum
ctms__watch_drops(PG_FUNCTION_ARGS)
{
    PG_RETURN_VOID();
}

void
drop_guard_init(void)
{
    DefineCustomBoolVariable("ctms.allow_drop",
                             "Whether the extension may be dropped while it holds contacts.", NULL,
                             &is_drop_allowed, false, PGC_USERSET, 0, NULL, NULL, NULL);
    previous_hook = object_access_hook;
    object_access_hook = watch_drops;
}
