/*
 * contact/direct.c: reads one contact below the executor.
 *
 * A contact is a handful of rows in six tables, and each is found by one descent into an index.
 * Starting the executor costs several times as much as these descents, so here they are made
 * directly on the tables and indexes. Locks, snapshots and predicate locks are the same as those
 * of a statement.
 *
 * For all other cases contact/load.c has statements that do the same in SQL. They are as good for
 * several contacts at once. test/t/120_contact_paths.pl checks that both give the same bytes.
 */
#include "extension/base/compat.h"

#include "extension/base/gate.h"
#include "extension/contact/direct.h"
#include "extension/contact/sql.h"

#include "access/htup_details.h"
#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/rel.h"

/* ---- the tables ---------------------------------------------------------------------- */

/* The fields of a group in their order, then both timestamps, then email_id. */
#define MAX_COLUMNS (CONTACT_MAX_FIELDS + 3)
#define EMAIL_ID_COLUMN(group) (contact_groups[group].field_count + 2)
StaticAssertDecl(MAX_COLUMNS <= GATE_MAX_COLUMNS, "a table has more columns than the gate knows");

static void
describe(GateTable *table, const ContactGroupSpec *spec, GateColumn *columns)
{
    int count = 0;

    for (int i = 0; i < spec->field_count; i++)
        columns[count++] =
            (GateColumn){spec->fields[i].name, contact_sql_type(&spec->fields[i]), false};
    columns[count++] = (GateColumn){"create_timestamp", TIMESTAMPTZOID, true};
    columns[count++] = (GateColumn){"update_timestamp", TIMESTAMPTZOID, true};
    columns[count++] = (GateColumn){contact_email_id.name, UUIDOID, true};
    table->name = spec->table;
    table->columns = columns;
    table->column_count = count;
    table->key = count - 1;
    table->rights = ACL_SELECT;
}

/* Described when first asked for, the first group last. */
static GateTable *
contact_tables(void)
{
    static GateTable tables[CONTACT_STORED_GROUPS];
    static GateColumn columns[CONTACT_STORED_GROUPS][MAX_COLUMNS];

    if (tables[0].name != NULL)
        return tables;
    for (int group = CONTACT_STORED_GROUPS - 1; group >= 0; group--)
        describe(&tables[group], &contact_groups[group], columns[group]);
    return tables;
}

static void
close_tables(GateScan *scans, int count)
{
    for (int group = 0; group < count; group++)
        gate_close(&scans[group]);
}

/* All are opened before the first is read, so that nobody waits for a lock with a page pinned. */
static bool
open_tables(GateScan *scans, ContactGroup last)
{
    GateTable *tables = contact_tables();

    for (int group = 0; group <= (int)last; group++)
        if (!gate_open(&scans[group], &tables[group], AccessShareLock)) {
            close_tables(scans, group);
            return false;
        }
    return true;
}

/* ---- reading ----------------------------------------------------------------------- */

static void
read_row(const GateScan *scan, ContactGroup group, Contact *contact, ContactRowReader read)
{
    HeapTuple row = ExecCopySlotHeapTuple(scan->found);
    Datum columns[MaxHeapAttributeNumber], values[MAX_COLUMNS];
    bool are_null[MaxHeapAttributeNumber], nulls[MAX_COLUMNS];
    int wanted = EMAIL_ID_COLUMN(group);

    heap_deform_tuple(row, RelationGetDescr(scan->relation), columns, are_null);
    for (int i = 0; i < wanted; i++) {
        values[i] = columns[scan->columns[i] - 1];
        nulls[i] = are_null[scan->columns[i] - 1];
    }
    read(contact, group, values, nulls);
}

static void
read_rows(GateScan *scan, ContactGroup group, Contact *contact, Snapshot snapshot,
          ContactRowReader read)
{
    gate_search(scan, snapshot, &contact->email_id);
    while (gate_next(scan))
        read_row(scan, group, contact, read);
}

bool
contact_direct_read(Contact *contact, ContactGroup last, Snapshot snapshot, ContactRowReader read)
{
    GateScan scans[CONTACT_STORED_GROUPS];

    if (!open_tables(scans, last))
        return false;
    for (int group = 0; group <= (int)last; group++) {
        CHECK_FOR_INTERRUPTS();
        /* A contact that does not exist has no rows in the other tables. */
        if (group == GROUP_EMAIL || contact->rows[GROUP_EMAIL].exists)
            read_rows(&scans[group], group, contact, snapshot, read);
        gate_close(&scans[group]);
    }
    return true;
}
