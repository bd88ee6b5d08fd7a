/*
 * contact/direct.c: finds and reads contacts below the executor.
 *
 * A contact is a handful of rows in six tables, and each is found by one descent into an index.
 * Starting the executor costs several times as much as these descents, so here they are made
 * directly on the tables and indexes. Locks, snapshots and predicate locks are the same as those
 * of a statement.
 *
 * For all other cases contact/load.c and contact/find.c have statements that do the same in SQL.
 * test/t/120_contact_paths.pl checks that both give the same bytes.
 */
#include "extension/base/compat.h"

#include "extension/base/gate.h"
#include "extension/contact/direct.h"
#include "extension/contact/sql.h"

#include "access/htup_details.h"
#include "access/tableam.h"
#include "catalog/pg_collation_d.h"
#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/* ---- the tables ---------------------------------------------------------------------- */

/* The fields of a group in their order, then both timestamps, then email_id. */
#define MAX_COLUMNS (CONTACT_MAX_FIELDS + 3)
#define EMAIL_ID_COLUMN(group) (contact_groups[group].field_count + 2)
StaticAssertDecl(MAX_COLUMNS <= GATE_MAX_COLUMNS, "a table has more columns than the gate knows");
StaticAssertDecl(CONTACT_ID_COUNT <= GATE_MAX_KEYS, "contacts have more ids than the gate knows");

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
    table->rights = ACL_SELECT;
}

/* Each table has a key for each id in it, at the place of the id, and all have email_id. */
static void
describe_keys(GateTable *table, ContactGroup group, GateKey *keys)
{
    for (int id = 0; id < CONTACT_ID_COUNT; id++) {
        const ContactIdSpec *spec = &contact_ids[id];
        bool is_here = spec->group == group && spec->field != CONTACT_NO_FIELD;

        keys[id] = (GateKey){.column = is_here ? spec->field : GATE_NO_COLUMN,
                             .is_lower = spec->is_address};
    }
    keys[ID_EMAIL_ID] = (GateKey){.column = EMAIL_ID_COLUMN(group)};
    table->keys = keys;
    table->key_count = CONTACT_ID_COUNT;
}

/* Described when first asked for, the first group last. */
static GateTable *
contact_tables(void)
{
    static GateTable tables[CONTACT_STORED_GROUPS];
    static GateColumn columns[CONTACT_STORED_GROUPS][MAX_COLUMNS];
    static GateKey keys[CONTACT_STORED_GROUPS][CONTACT_ID_COUNT];

    if (tables[0].name != NULL)
        return tables;
    for (int group = CONTACT_STORED_GROUPS - 1; group >= 0; group--) {
        describe(&tables[group], &contact_groups[group], columns[group]);
        describe_keys(&tables[group], group, keys[group]);
    }
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
        if (!gate_open(&scans[group], &tables[group], ID_EMAIL_ID, AccessShareLock)) {
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
    gate_search(scan, snapshot, UUIDPGetDatum(&contact->email_id));
    while (gate_next(scan))
        read_row(scan, group, contact, read);
}

static void
read_table(GateScan *scan, ContactGroup group, Contact **contacts, int count, Snapshot snapshot,
           ContactRowReader read)
{
    for (int i = 0; i < count; i++) {
        CHECK_FOR_INTERRUPTS();
        /* When the contact was found by another id, its row has already been seen with the same
         * snapshot. */
        if (group == GROUP_EMAIL && ItemPointerIsValid(&contacts[i]->row_at) &&
            table_tuple_fetch_row_version(scan->relation, &contacts[i]->row_at, snapshot,
                                          scan->found)) {
            read_row(scan, group, contacts[i], read);
            continue;
        }
        /* A contact that does not exist has no rows in the other tables. */
        if (group != GROUP_EMAIL && !contacts[i]->rows[GROUP_EMAIL].exists)
            continue;
        read_rows(scan, group, contacts[i], snapshot, read);
    }
}

bool
contact_direct_read(Contact **contacts, int count, ContactGroup last, Snapshot snapshot,
                    ContactRowReader read)
{
    GateScan scans[CONTACT_STORED_GROUPS];

    if (!open_tables(scans, last))
        return false;
    for (int group = 0; group <= (int)last; group++) {
        read_table(&scans[group], group, contacts, count, snapshot, read);
        gate_close(&scans[group]);
    }
    return true;
}

/* ---- finding ------------------------------------------------------------------------- */

void
contact_found_add(ContactsFound *found, const pg_uuid_t *email_id, ItemPointer row_at)
{
    Contact *contact;

    if (found->contacts == NULL) {
        found->capacity = 1;
        found->contacts = palloc(sizeof(Contact));
    } else if (found->count == found->capacity) {
        found->capacity *= 2;
        found->contacts = repalloc_huge(found->contacts, found->capacity * sizeof(Contact));
    }
    contact = &found->contacts[found->count++];
    contact->email_id = *email_id;
    if (row_at != NULL)
        contact->row_at = *row_at;
    else
        ItemPointerSetInvalid(&contact->row_at);
}

/* What is searched for: of an address, lower() of it. */
static Datum
search_key(ContactId id, Datum value)
{
    return contact_ids[id].is_address ? DirectFunctionCall1Coll(lower, DEFAULT_COLLATION_OID, value)
                                      : value;
}

bool
contact_direct_find(ContactId id, Datum value, Snapshot snapshot, ContactsFound *found)
{
    ContactGroup group = contact_ids[id].group;
    GateScan scan;

    if (!gate_open(&scan, &contact_tables()[group], id, AccessShareLock))
        return false;
    gate_search(&scan, snapshot, search_key(id, value));
    while (gate_next(&scan)) {
        bool is_null;
        Datum email_id = slot_getattr(scan.found, scan.columns[EMAIL_ID_COLUMN(group)], &is_null);

        CHECK_FOR_INTERRUPTS();
        if (!is_null)
            contact_found_add(found, DatumGetUUIDP(email_id),
                              group == GROUP_EMAIL ? &scan.found->tts_tid : NULL);
    }
    gate_close(&scan);
    return true;
}
