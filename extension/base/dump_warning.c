/*
 * base/dump_warning.c: warns of changes that pg_dump leaves out.
 *
 * Of an extension's tables pg_dump saves rows and privileges; what somebody has added to them or
 * changed is not in the dump, and CREATE EXTENSION does not make it. Of a table with a column more
 * or another name of one, not even the rows can be restored, because COPY names the column.
 *
 * The event trigger ctms_warn_of_changes (extension/sql/96_drop_guard.sql) finds changed objects
 * of ours and calls this file. Each kind of loss is told once a session, as a warning.
 */
#include "extension/base/compat.h"

#include "tcop/deparse_utility.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

PG_FUNCTION_INFO_V1(ctms__warn_of_change);

/* What a restored database lacks after a change. The worst is last. */
typedef enum DumpLoss {
    LOSS_NONE,
    LOSS_OF_CHANGE,  /* the change alone */
    LOSS_OF_MISFITS, /* all rows of the table, if one of them fits the changed table only */
    LOSS_OF_ROWS,    /* all rows of the table */
    LOSS_KINDS
} DumpLoss;

static bool is_told[LOSS_KINDS];

/* COPY does not name generated columns. An address without a column: IF NOT EXISTS had it. */
static DumpLoss
loss_of_new_column(const ObjectAddress *column)
{
    if (column->objectSubId == 0)
        return LOSS_NONE;
    return get_attgenerated(column->objectId, (AttrNumber)column->objectSubId) != '\0'
               ? LOSS_OF_CHANGE
               : LOSS_OF_ROWS;
}

static DumpLoss
loss_of_subcommand(const CollectedATSubcmd *subcommand)
{
    if (!IsA(subcommand->parsetree, AlterTableCmd))
        return LOSS_OF_CHANGE;
    switch (compat_alter_table_type((const AlterTableCmd *)subcommand->parsetree)) {
    case AT_AddColumn: return loss_of_new_column(&subcommand->address);
    case AT_AlterColumnType:
    case AT_DropNotNull:
    case AT_DropConstraint: return LOSS_OF_MISFITS;
    /* A column that goes is hardly one of ours: functions need them. The others make the table what
     * the extension has made. */
    case AT_DropColumn:
    case AT_ValidateConstraint:
    case AT_EnableTrig:
    case AT_EnableAlwaysTrig:
    case AT_EnableTrigAll:
    case AT_EnableTrigUser:
    case AT_DropCluster:
    case AT_ResetRelOptions:
    case AT_DisableRowSecurity:
    case AT_NoForceRowSecurity: return LOSS_NONE;
    default: return LOSS_OF_CHANGE;
    }
}

static DumpLoss
loss_of_command(const CollectedCommand *command)
{
    DumpLoss worst = LOSS_NONE;
    ListCell *cell;

    if (command->type != SCT_AlterTable) {
        const RenameStmt *rename = (const RenameStmt *)command->parsetree;

        return rename && IsA(rename, RenameStmt) && rename->renameType == OBJECT_COLUMN
                   ? LOSS_OF_ROWS
                   : LOSS_OF_CHANGE;
    }
    foreach (cell, command->d.alterTable.subcmds)
        worst = Max(worst, loss_of_subcommand(lfirst(cell)));
    return worst;
}

static const char *
loss_message(DumpLoss loss)
{
    switch (loss) {
    case LOSS_OF_ROWS: return "a restored database will lack all rows of \"%s\"";
    case LOSS_OF_MISFITS: return "a restored database may lack all rows of \"%s\"";
    case LOSS_OF_CHANGE: return "a restored database will have \"%s\" as the extension makes it";
    case LOSS_NONE:
    case LOSS_KINDS: break;
    }
    pg_unreachable();
}

static const char *
loss_detail(DumpLoss loss)
{
    switch (loss) {
    case LOSS_OF_ROWS:
        return "Dumps name the column, and the table that CREATE EXTENSION makes does not have it.";
    case LOSS_OF_MISFITS:
        return "Dumps leave this change out. If a row does not fit the table that CREATE EXTENSION "
               "makes, none is loaded.";
    case LOSS_OF_CHANGE:
        return "Dumps leave out changes of an extension's objects, and the publications they are "
               "in.";
    case LOSS_NONE:
    case LOSS_KINDS: break;
    }
    pg_unreachable();
}

/* ctms._warn_of_change(command pg_ddl_command, object text) → void */
Datum
ctms__warn_of_change(PG_FUNCTION_ARGS)
{
    const CollectedCommand *command = (const CollectedCommand *)PG_GETARG_POINTER(0);
    DumpLoss loss = loss_of_command(command);

    if (loss != LOSS_NONE && !is_told[loss]) {
        is_told[loss] = true;
        ereport(
            WARNING, errcode(ERRCODE_WARNING),
            errmsg(loss_message(loss), text_to_cstring(PG_GETARG_TEXT_PP(1))),
            errdetail("%s", loss_detail(loss)),
            errhint("See \"Own columns, indexes and triggers\" in docs/operations.md of ctms."));
    }
    PG_RETURN_VOID();
}
