/*
 * base/drop_guard.c: refuses to drop the extension while it holds contacts, and to rename what
 * its functions name.
 *
 * Many commands can drop it: DROP EXTENSION, DROP SCHEMA ... CASCADE, DROP OWNED, or dropping a
 * language or another extension with CASCADE. All of them drop the table ctms.emails as a member
 * of the extension, so this file watches that table.
 *
 * The extension cannot be moved, and PostgreSQL itself refuses ALTER EXTENSION ... SET SCHEMA. But
 * it lets one rename the schema, or rename and move a table; then statements and triggers of ours
 * would find nothing. Columns and functions may be renamed: who uses them gets a plain error.
 *
 * An event trigger on these commands makes sure that the library is loaded by then
 * (extension/sql/96_drop_guard.sql).
 */
#include "extension/base/compat.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "commands/extension.h"
#include "utils/fmgroids.h"
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
refuse_drop(Oid relation)
{
    if (is_drop_allowed || !is_our_contact_table(relation) || !has_rows(relation))
        return;
    ereport(ERROR, errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
            errmsg("cannot drop extension \"%s\" because it holds contacts", "ctms"),
            errdetail("Contacts, waitlists, Stripe objects and the Acoustic queue would be lost."),
            errhint("To drop them anyway, set \"ctms.allow_drop\" to on first."));
}

/*
 * The row of a catalog as the command that is running leaves it. Caches still have the one from
 * before.
 */
static HeapTuple
changed_row(Oid catalog, Oid index, AttrNumber oid_column, Oid object)
{
    Relation relation = table_open(catalog, AccessShareLock);
    SysScanDesc scan;
    ScanKeyData key;
    HeapTuple row;

    ScanKeyInit(&key, oid_column, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(object));
    scan = systable_beginscan(relation, index, true, SnapshotSelf, 1, &key);
    row = heap_copytuple(systable_getnext(scan));
    systable_endscan(scan);
    table_close(relation, AccessShareLock);
    return row;
}

static void
refuse_to_rename_schema(Oid schema)
{
    HeapTuple row;

    if (schema != get_namespace_oid("ctms", true) || !OidIsValid(get_extension_oid("ctms", true)))
        return;
    row = changed_row(NamespaceRelationId, NamespaceOidIndexId, Anum_pg_namespace_oid, schema);
    if (HeapTupleIsValid(row) &&
        strcmp(NameStr(((Form_pg_namespace)GETSTRUCT(row))->nspname), "ctms") != 0)
        ereport(ERROR, errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                errmsg("cannot rename schema \"%s\" of extension \"%s\"", "ctms", "ctms"),
                errdetail("Functions of the extension name the schema."));
}

static void
refuse_to_rename_table(Oid relation)
{
    Oid schema = get_namespace_oid("ctms", true);
    Oid extension;
    Form_pg_class changed;
    HeapTuple row;
    char *name;

    if (!OidIsValid(schema) || get_rel_namespace(relation) != schema)
        return;
    extension = get_extension_oid("ctms", true);
    if (!OidIsValid(extension) || getExtensionOfObject(RelationRelationId, relation) != extension)
        return;
    name = get_rel_name(relation);
    row = changed_row(RelationRelationId, ClassOidIndexId, Anum_pg_class_oid, relation);
    if (!name || !HeapTupleIsValid(row))
        return;
    changed = (Form_pg_class)GETSTRUCT(row);
    if (changed->relnamespace != schema || strcmp(NameStr(changed->relname), name) != 0)
        ereport(ERROR, errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                errmsg("cannot rename or move \"%s.%s\" of extension \"%s\"", "ctms", name, "ctms"),
                errdetail("Functions of the extension name its tables and their schema."));
}

static void
watch_objects(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *arg)
{
    if (previous_hook)
        previous_hook(access, class_id, object_id, sub_id, arg);
    /* An upgrade script may replace and rename tables. */
    if (creating_extension || sub_id != 0)
        return;
    if (access == OAT_DROP && class_id == RelationRelationId)
        refuse_drop(object_id);
    else if (access == OAT_POST_ALTER && class_id == NamespaceRelationId)
        refuse_to_rename_schema(object_id);
    else if (access == OAT_POST_ALTER && class_id == RelationRelationId &&
             !((ObjectAccessPostAlter *)arg)->is_internal)
        refuse_to_rename_table(object_id);
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
    object_access_hook = watch_objects;
}
