/*
 * base/row_change.c: did an UPDATE change anything?
 *
 * This is asked for every updated row. So the common cases are decided by comparing the bytes of
 * both tuples as a whole, and only rows that differ there are compared column by column.
 */
#include "extension/base/compat.h"

#include "access/htup_details.h"
#include "utils/datum.h"

#include "extension/base/row_change.h"

static bool
are_bytes_equal(HeapTuple a, HeapTuple b)
{
    HeapTupleHeader ha = a->t_data;
    HeapTupleHeader hb = b->t_data;

    return a->t_len == b->t_len && ha->t_hoff == hb->t_hoff &&
           HeapTupleHeaderGetNatts(ha) == HeapTupleHeaderGetNatts(hb) &&
           (ha->t_infomask & ~HEAP_XACT_MASK) == (hb->t_infomask & ~HEAP_XACT_MASK) &&
           memcmp((char *)ha + SizeofHeapTupleHeader, (char *)hb + SizeofHeapTupleHeader,
                  a->t_len - SizeofHeapTupleHeader) == 0;
}

bool
row_has_changed(HeapTuple old_row, HeapTuple new_row, TupleDesc desc, const Bitmapset *ignored)
{
    Datum *values;
    bool *is_null;
    bool is_changed = false;
    int natts = desc->natts;

    if (are_bytes_equal(old_row, new_row))
        return false;

    values = palloc(2 * natts * sizeof(Datum));
    is_null = palloc(2 * natts * sizeof(bool));
    heap_deform_tuple(old_row, desc, values, is_null);
    heap_deform_tuple(new_row, desc, values + natts, is_null + natts);
    for (int i = 0; i < natts && !is_changed; i++) {
        Form_pg_attribute att = TupleDescAttr(desc, i);

        if (att->attisdropped || bms_is_member(i + 1, ignored))
            continue;
        if (is_null[i] || is_null[natts + i])
            is_changed = is_null[i] != is_null[natts + i];
        else
            is_changed = !datum_image_eq(values[i], values[natts + i], att->attbyval, att->attlen);
    }
    pfree(values);
    pfree(is_null);
    return is_changed;
}
