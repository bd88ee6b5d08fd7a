/*
 * queue/number.c: see number.h.
 */
#include "extension/base/compat.h"

#include "extension/queue/number.h"

PG_FUNCTION_INFO_V1(ctms__new_number);

int64
queue_new_number(void)
{
    return (int64)(compat_random() >> 1);
}

/* ctms._new_number() → bigint: the default of columns of the queue */
Datum
ctms__new_number(PG_FUNCTION_ARGS)
{
    PG_RETURN_INT64(queue_new_number());
}
