/*
 * queue/number.c: see number.h.
 */
#include "extension/base/compat.h"

#include "extension/queue/number.h"

int64
queue_new_number(void)
{
    return (int64)(compat_random() >> 1);
}
