/*
 * base/row_change.h: finds out whether a row trigger was called for a real change.
 */
#ifndef CTMS_BASE_ROW_CHANGE_H
#define CTMS_BASE_ROW_CHANGE_H

#include "postgres.h"

#include "access/htup.h"
#include "access/tupdesc.h"
#include "nodes/bitmapset.h"

/*
 * Whether two versions of a row differ in a column that is not in "ignored" (a set of
 * column numbers). Values are compared as stored: equal bytes, after unpacking long ones.
 */
extern bool
row_has_changed(HeapTuple old_row, HeapTuple new_row, TupleDesc desc, const Bitmapset *ignored);

#endif
