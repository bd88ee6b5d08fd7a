/*
 * contact/store.c: compares two states of a contact and writes what differs.
 *
 * The caller must have locked the contact's row in emails, so that no other session that uses
 * these functions changes the contact in the meantime. Triggers enqueue the contact and set the
 * update_timestamp of each row.
 */
#include "extension/base/compat.h"

#include "extension/base/errors.h"
#include "extension/base/kept_plan.h"
#include "extension/contact/claim.h"
#include "extension/contact/sql.h"
#include "extension/contact/store.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/uuid.h"

#define MAX_PARAMETERS (CONTACT_MAX_FIELDS + 2)

/* Items of a list to write in one statement. */
typedef struct ItemChange {
    const ContactRecord *item;
    uint32 mask; /* fields to set */
} ItemChange;

typedef struct ItemBatch {
    ItemChange *changes;
    int count;
} ItemBatch;

/* ---- one-row groups ------------------------------------------------------------- */

static void
set_fields(ContactGroup group, const ContactRecord *record, Datum *values, char *nulls)
{
    for (int i = 0; i < contact_groups[group].field_count; i++) {
        values[i] = record->values[i];
        nulls[i] = record->nulls[i] ? 'n' : ' ';
    }
}

static bool
insert_row(const pg_uuid_t *email_id, ContactGroup group, const ContactRecord *record)
{
    Datum values[MAX_PARAMETERS] = {UUIDPGetDatum(email_id)};
    char nulls[MAX_PARAMETERS] = {' '};

    set_fields(group, record, values + 1, nulls + 1);
    return kept_plan_execute(contact_sql_insert_row(group), values, nulls, false, SPI_OK_INSERT) ==
           1;
}

static void
update_row(const pg_uuid_t *email_id, ContactGroup group, const ContactRecord *record, uint32 mask)
{
    Datum values[MAX_PARAMETERS] = {UUIDPGetDatum(email_id), UInt32GetDatum(mask)};
    char nulls[MAX_PARAMETERS] = {' ', ' '};

    set_fields(group, record, values + 2, nulls + 2);
    kept_plan_execute(contact_sql_update_row(group), values, nulls, false, SPI_OK_UPDATE);
}

void
contact_store_delete_group(const pg_uuid_t *email_id, ContactGroup group)
{
    Datum id = UUIDPGetDatum(email_id);

    kept_plan_execute(contact_sql_delete_row(group), &id, NULL, false, SPI_OK_DELETE);
}

/* False when the row could not be inserted. Sets *is_changed when something was written. */
static bool
store_row(const pg_uuid_t *email_id, ContactGroup group, const ContactRecord *stored,
          const ContactRecord *wanted, bool *is_changed)
{
    uint32 mask;

    if (!stored->exists && !wanted->exists)
        return true;
    if (!wanted->exists) {
        *is_changed = true;
        contact_store_delete_group(email_id, group);
        return true;
    }
    if (!stored->exists) {
        *is_changed = true;
        return insert_row(email_id, group, wanted);
    }
    mask = contact_record_difference(stored, wanted, group);
    if (mask != 0) {
        *is_changed = true;
        update_row(email_id, group, wanted, mask);
    }
    return true;
}

/* ---- lists ----------------------------------------------------------------------- */

static void
batch_add(ItemBatch *batch, const ContactRecord *item, uint32 mask, int capacity)
{
    if (batch->changes == NULL)
        batch->changes = palloc(capacity * sizeof(ItemChange));
    batch->changes[batch->count++] = (ItemChange){.item = item, .mask = mask};
}

/* One field of all items as an array. */
static Datum
batch_array(const ItemBatch *batch, const ContactField *field, int index)
{
    Oid type = contact_sql_type(field);
    Datum *values = palloc(batch->count * sizeof(Datum));
    bool *nulls = palloc(batch->count * sizeof(bool));
    int dimension = batch->count;
    int lower_bound = 1;
    int16 type_bytes;
    bool is_by_value;
    char alignment;

    get_typlenbyvalalign(type, &type_bytes, &is_by_value, &alignment);
    for (int i = 0; i < batch->count; i++) {
        values[i] = batch->changes[i].item->values[index];
        nulls[i] = batch->changes[i].item->nulls[index];
    }
    return PointerGetDatum(construct_md_array(values, nulls, 1, &dimension, &lower_bound, type,
                                              type_bytes, is_by_value, alignment));
}

static Datum
batch_masks(const ItemBatch *batch)
{
    Datum *values = palloc(batch->count * sizeof(Datum));

    for (int i = 0; i < batch->count; i++)
        values[i] = UInt32GetDatum(batch->changes[i].mask);
    return PointerGetDatum(
        construct_array(values, batch->count, INT4OID, sizeof(int32), true, TYPALIGN_INT));
}

static Datum *
batch_values(const pg_uuid_t *email_id, ContactGroup group, const ItemBatch *batch, bool has_masks)
{
    const ContactGroupSpec *spec = &contact_groups[group];
    Datum *values = palloc(MAX_PARAMETERS * sizeof(Datum));
    int count = 0;

    values[count++] = UUIDPGetDatum(email_id);
    if (has_masks)
        values[count++] = batch_masks(batch);
    for (int i = 0; i < spec->field_count; i++)
        values[count++] = batch_array(batch, &spec->fields[i], i);
    return values;
}

/* False when not all items could be inserted. */
static bool
insert_batch(const pg_uuid_t *email_id, ContactGroup group, const ItemBatch *batch, bool is_new)
{
    return batch->count == 0 || kept_plan_execute(contact_sql_insert_items(group, is_new),
                                                  batch_values(email_id, group, batch, false), NULL,
                                                  false, SPI_OK_INSERT) == (uint64)batch->count;
}

static void
update_batch(const pg_uuid_t *email_id, ContactGroup group, const ItemBatch *batch)
{
    if (batch->count > 0)
        kept_plan_execute(contact_sql_update_items(group),
                          batch_values(email_id, group, batch, true), NULL, false, SPI_OK_UPDATE);
}

static void
delete_batch(const pg_uuid_t *email_id, ContactGroup group, const ItemBatch *batch)
{
    Datum values[2] = {UUIDPGetDatum(email_id)};

    if (batch->count == 0)
        return;
    values[1] = batch_array(batch, &contact_groups[group].fields[LIST_NAME], LIST_NAME);
    kept_plan_execute(contact_sql_delete_items(group), values, NULL, false, SPI_OK_DELETE);
}

/*
 * Both lists are sorted by name, so one walk over both finds the differences. False when not all
 * items could be inserted. Sets *is_changed when something was written.
 */
static bool
store_list(const pg_uuid_t *email_id, ContactGroup group, const ContactList *stored,
           const ContactList *wanted, bool is_new, bool *is_changed)
{
    ItemBatch inserts = {0}, updates = {0}, deletes = {0};
    int i = 0;
    int j = 0;

    while (i < stored->count || j < wanted->count) {
        int order = i == stored->count ? 1
                    : j == wanted->count
                        ? -1
                        : contact_name_compare(&stored->items[i], &wanted->items[j]);

        CHECK_FOR_INTERRUPTS();
        if (order < 0) {
            batch_add(&deletes, &stored->items[i++], 0, stored->count);
        } else if (order > 0) {
            batch_add(&inserts, &wanted->items[j++], 0, wanted->count);
        } else {
            uint32 mask = contact_record_difference(&stored->items[i++], &wanted->items[j], group);

            if (mask != 0)
                batch_add(&updates, &wanted->items[j], mask, wanted->count);
            j++;
        }
    }
    *is_changed |= inserts.count + updates.count + deletes.count > 0;
    delete_batch(email_id, group, &deletes);
    update_batch(email_id, group, &updates);
    return insert_batch(email_id, group, &inserts, is_new);
}

/* ---- whole contacts ----------------------------------------------------------------- */

bool
contact_store_new(const Contact *wanted)
{
    return insert_row(&wanted->email_id, GROUP_EMAIL, &wanted->rows[GROUP_EMAIL]);
}

/*
 * Unique values are claimed in a fixed order, the same as for a new contact: first those of
 * emails, then of fxa, then of mofo. contact/claim.c handles exchanges within one of these
 * tables.
 */
bool
contact_store(const Contact *stored, const Contact *wanted, bool always_touch)
{
    const pg_uuid_t *email_id = &wanted->email_id;
    const ContactRecord *email = &wanted->rows[GROUP_EMAIL];
    bool is_new = !stored->rows[GROUP_EMAIL].exists;
    uint32 mask = contact_record_difference(&stored->rows[GROUP_EMAIL], email, GROUP_EMAIL);
    bool is_written = is_new || mask != 0 || always_touch;
    bool is_changed = false;

    if (!is_new)
        contact_claim_values(stored, wanted);
    if (!is_new && is_written)
        update_row(email_id, GROUP_EMAIL, email, mask);
    for (int group = GROUP_AMO; group < CONTACT_ROW_GROUPS; group++)
        if (!store_row(email_id, group, &stored->rows[group], &wanted->rows[group], &is_changed))
            return false;
    for (int group = CONTACT_ROW_GROUPS; group < CONTACT_STORED_GROUPS; group++)
        if (!store_list(email_id, group, &stored->lists[group], &wanted->lists[group], is_new,
                        &is_changed))
            return false;
    if (is_changed && !is_written)
        update_row(email_id, GROUP_EMAIL, email, 0);
    return true;
}
