/*
 * base/result_row.h: the rows that functions written in C return.
 *
 * After an update of the extension, sessions that are open keep the library that they have loaded,
 * while the objects are newer; before it, new sessions have a library that is newer than the
 * objects. So the result has the columns that the catalog gives the function: those at the end that
 * this library does not know are null, and values for which there is no column are left out.
 */
#ifndef CTMS_RESULT_ROW_H
#define CTMS_RESULT_ROW_H

#include "extension/base/compat.h"

#include "nodes/execnodes.h"

/* Adds a row to the result of a function that returns a set. */
extern void result_row_put(ReturnSetInfo *result, Datum *values, bool *are_null, int count);

/* The result of a function that returns one row. */
extern Datum result_row_make(FunctionCallInfo fcinfo, Datum *values, bool *are_null, int count);

#endif
