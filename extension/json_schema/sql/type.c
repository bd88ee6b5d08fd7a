/*
 * json_schema/sql/type.c: the type ctms.json_schema: a jsonb that is known to be a valid schema.
 *
 * It is stored as jsonb and converts to jsonb without a function, so every function accepts it.
 * An input value is compiled once and stays in the cache of the session.
 */
#include "extension/base/compat.h"

#include "fmgr.h"
#include "utils/fmgrprotos.h"

#include "extension/base/restore.h"
#include "extension/json_schema/sql/cache.h"

/* In a dump the schema is not checked, because the documents to which it refers may come later. */
static Datum
checked(Datum jsonb)
{
    if (!restore_is_running())
        json_schema_cache_release(json_schema_cache_acquire_whole(DatumGetJsonbP(jsonb)));
    return jsonb;
}

PG_FUNCTION_INFO_V1(ctms__json_schema_in);
PGDLLEXPORT Datum
ctms__json_schema_in(PG_FUNCTION_ARGS)
{
    return checked(DirectFunctionCall1(jsonb_in, PG_GETARG_DATUM(0)));
}

PG_FUNCTION_INFO_V1(ctms__json_schema_out);
PGDLLEXPORT Datum
ctms__json_schema_out(PG_FUNCTION_ARGS)
{
    return DirectFunctionCall1(jsonb_out, PG_GETARG_DATUM(0));
}

PG_FUNCTION_INFO_V1(ctms__json_schema_recv);
PGDLLEXPORT Datum
ctms__json_schema_recv(PG_FUNCTION_ARGS)
{
    return checked(DirectFunctionCall1(jsonb_recv, PG_GETARG_DATUM(0)));
}

PG_FUNCTION_INFO_V1(ctms__json_schema_send);
PGDLLEXPORT Datum
ctms__json_schema_send(PG_FUNCTION_ARGS)
{
    return DirectFunctionCall1(jsonb_send, PG_GETARG_DATUM(0));
}
