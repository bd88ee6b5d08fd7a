/* auth/secret_pace.c: counts the work for refusals; see secret_pace.h. */
#include "rest/auth/secret_pace.h"

#include <stddef.h>

#include "common/hash.h"

/* Parts of the threads' time that refusals may use. */
#define PART_OF_ADDRESS 0.25
#define PART_OF_ALL 0.5
/* Work that is paid for within this time does not wait. */
#define CREDIT_S 4.0
#define LATELY_S 60.0

static double
charge(double *paid_s, double debt_s, double now_s)
{
    double wait_s;

    if (*paid_s < now_s)
        *paid_s = now_s;
    *paid_s += debt_s;
    wait_s = *paid_s - now_s - CREDIT_S;
    /* Nobody waits for the whole of a long attack when it is over. */
    if (wait_s > SECRET_PACE_WAIT_MAX_S) {
        wait_s = SECRET_PACE_WAIT_MAX_S;
        *paid_s = now_s + CREDIT_S + SECRET_PACE_WAIT_MAX_S;
    }
    return wait_s > 0 ? wait_s : 0;
}

static size_t
slot_of(const secret_pace *pace, const char *address)
{
    return hash_string(pace->seed, address) % SECRET_PACE_SLOTS;
}

double
secret_pace_charge(secret_pace *pace, const char *address, double work_s, double now_s)
{
    size_t slot = slot_of(pace, address);
    double of_address =
        charge(&pace->slots[slot].paid_s, work_s / (PART_OF_ADDRESS * pace->threads), now_s);
    double of_all = charge(&pace->all_paid_s, work_s / (PART_OF_ALL * pace->threads), now_s);

    return of_address > of_all ? of_address : of_all;
}

double
secret_pace_last_s(const secret_pace *pace, const char *address, double now_s)
{
    double last_s = pace->slots[slot_of(pace, address)].last_s;

    return now_s - last_s < LATELY_S ? last_s : 0;
}

void
secret_pace_set_last_s(secret_pace *pace, const char *address, double last_s)
{
    pace->slots[slot_of(pace, address)].last_s = last_s;
}
