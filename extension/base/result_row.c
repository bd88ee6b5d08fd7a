/*
 * base/result_row.c: fits rows to the columns that the catalog gives a function. See result_row.h.
 */
#include "extension/base/compat.h"

#include "access/htup_details.h"
#include "funcapi.h"
#include "utils/tuplestore.h"

#include "extension/base/result_row.h"

static HeapTuple
form(TupleDesc desc, Datum *values, bool *are_null, int count)
{
    int known = Min(count, desc->natts);
    Datum *all = palloc0(desc->natts * sizeof(Datum));
    bool *are_all_null = palloc(desc->natts * sizeof(bool));

    memset(are_all_null, true, desc->natts * sizeof(bool));
    memcpy(all, values, known * sizeof(Datum));
    memcpy(are_all_null, are_null, known * sizeof(bool));
    return heap_form_tuple(desc, all, are_all_null);
}

void
result_row_put(ReturnSetInfo *result, Datum *values, bool *are_null, int count)
{
    HeapTuple tuple;

    if (result->setDesc->natts <= count) {
        tuplestore_putvalues(result->setResult, result->setDesc, values, are_null);
        return;
    }
    tuple = form(result->setDesc, values, are_null, count);
    tuplestore_puttuple(result->setResult, tuple);
    heap_freetuple(tuple);
}

Datum
result_row_make(FunctionCallInfo fcinfo, Datum *values, bool *are_null, int count)
{
    TupleDesc desc;

    if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
        elog(ERROR, "return type must be a row type");
    return HeapTupleGetDatum(form(BlessTupleDesc(desc), values, are_null, count));
}
