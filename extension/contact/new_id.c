/*
 * contact/new_id.c: see new_id.h, and ctms.new_email_id(), the default of ctms.emails.email_id.
 *
 * An id has the bits of a UUID of version 7 (RFC 9562): 48 of milliseconds since 1970, 12 of the
 * fraction, 62 random ones. But it says version 4, which the API promises and clients check. So
 * what belongs to new contacts is at the right edge of each index on email_id
 * (docs/decisions/ids-in-order.md). Within a session each id is greater than the last.
 */
#include "extension/base/compat.h"

#include "extension/contact/new_id.h"

#include "datatype/timestamp.h"
#include "fmgr.h"
#include "utils/timestamp.h"

#define FRACTION_BITS 12

/* Milliseconds since 1970 with their fraction, later than at the last call also if the clock is
 * not. */
static uint64
next_moment(void)
{
    static uint64 last = 0;
    uint64 us = (uint64)(GetCurrentTimestamp() +
                         (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY * USECS_PER_SEC);
    uint64 moment = (us / 1000) << FRACTION_BITS | ((us % 1000) << FRACTION_BITS) / 1000;

    last = Max(moment, last + 1);
    return last;
}

void
new_id_make(pg_uuid_t *id)
{
    uint64 moment = next_moment();
    uint64 milliseconds = moment >> FRACTION_BITS;

    if (!pg_strong_random(&id->data[8], UUID_LEN - 8))
        ereport(ERROR, errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values"));
    for (int i = 0; i < 6; i++)
        id->data[i] = (unsigned char)(milliseconds >> 8 * (5 - i));
    id->data[6] = (unsigned char)(0x40 | (moment >> 8 & 0x0F));
    id->data[7] = (unsigned char)moment;
    id->data[8] = (unsigned char)(0x80 | (id->data[8] & 0x3F));
}

bool
new_id_is_accepted(const pg_uuid_t *id)
{
    return id->data[6] >> 4 == 4 && id->data[8] >> 6 == 2;
}

PG_FUNCTION_INFO_V1(ctms_new_email_id);

Datum
ctms_new_email_id(PG_FUNCTION_ARGS)
{
    pg_uuid_t *id = palloc(UUID_LEN);

    new_id_make(id);
    return UUIDPGetDatum(id);
}
