/*
 * contact/claim.c: locks on unique values, for writes that exchange them.
 *
 * An UPDATE removes its old values before it looks for its new ones in the indexes. If two
 * contacts exchange their addresses at the same time, each removes its own and then waits for the
 * value of the other: a deadlock, which PostgreSQL finds a second later. So such a write first
 * locks all values that it gives up, claims or shares a row with, in one fixed order. Then the
 * second write waits before it has written anything; after that it either gets the value or is
 * told that it is taken.
 *
 * Other writes do not need such a lock. An INSERT waits before it has written its row (all are ON
 * CONFLICT DO NOTHING), a DELETE waits for no value, and tables are written in one order.
 *
 * SQL cannot take locks of this kind, so no other role can block these writes. In pg_locks their
 * type is "object", with ctms.emails as classid.
 */
#include "extension/base/compat.h"

#include "extension/contact/claim.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "common/hashfn.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/formatting.h"
#include "utils/lsyscache.h"

#define MAX_VALUES 8

/*
 * The most locks that one transaction takes: a transaction that changes the addresses of a
 * million contacts must not fill the lock table. The locks only prevent deadlocks between single
 * calls. The calls of one transaction come in no fixed order anyway.
 */
#define MAX_LOCKS_PER_TRANSACTION 64

typedef enum ValueKind { KIND_ADDRESS, KIND_TOKEN, KIND_FXA_ID, KIND_MOFO_EMAIL_ID } ValueKind;

typedef struct Claim {
    uint32 hashes[MAX_VALUES];
    int count;
} Claim;

static void
add_value(Claim *claim, ValueKind kind, const ContactRecord *record, int field)
{
    text *value;
    char *folded;
    uint32 hash;

    if (record->nulls[field])
        return;
    value = DatumGetTextPP(record->values[field]);
    /* Folded like in the unique index on lower(primary_email). */
    folded = kind == KIND_ADDRESS
                 ? str_tolower(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), DEFAULT_COLLATION_OID)
                 : text_to_cstring(value);
    hash = hash_bytes_extended((unsigned char *)folded, strlen(folded), kind);
    pfree(folded);
    for (int i = 0; i < claim->count; i++)
        if (claim->hashes[i] == hash)
            return;
    claim->hashes[claim->count++] = hash;
}

static bool
is_claimed(uint32 mask, const ContactRecord *wanted, int field)
{
    return (mask & 1 << field) != 0 && !wanted->nulls[field];
}

/*
 * Adds both the address and the token, even if only one of them changes, because any version of
 * the row can be found by either.
 */
static void
add_email(Claim *claim, const ContactRecord *stored, const ContactRecord *wanted)
{
    uint32 mask = contact_record_difference(stored, wanted, GROUP_EMAIL);

    if (!is_claimed(mask, wanted, EMAIL_PRIMARY_EMAIL) &&
        !is_claimed(mask, wanted, EMAIL_BASKET_TOKEN))
        return;
    add_value(claim, KIND_ADDRESS, stored, EMAIL_PRIMARY_EMAIL);
    add_value(claim, KIND_ADDRESS, wanted, EMAIL_PRIMARY_EMAIL);
    add_value(claim, KIND_TOKEN, stored, EMAIL_BASKET_TOKEN);
    add_value(claim, KIND_TOKEN, wanted, EMAIL_BASKET_TOKEN);
}

/* A row that is inserted or deleted as a whole exchanges nothing. */
static void
add_exchange(Claim *claim, const Contact *stored, const Contact *wanted, ContactGroup group,
             ValueKind kind, int field)
{
    const ContactRecord *from = &stored->rows[group];
    const ContactRecord *to = &wanted->rows[group];

    if (!from->exists || !to->exists || from->nulls[field] ||
        !is_claimed(contact_record_difference(from, to, group), to, field))
        return;
    add_value(claim, kind, from, field);
    add_value(claim, kind, to, field);
}

static int
compare_hashes(const void *a, const void *b)
{
    uint32 x = *(const uint32 *)a;
    uint32 y = *(const uint32 *)b;

    return (x > y) - (x < y);
}

static void
lock_values(Claim *claim)
{
    static TransactionId transaction = InvalidTransactionId;
    static int lock_count;
    TransactionId current = GetTopTransactionId();
    Oid emails =
        get_relname_relid(contact_groups[GROUP_EMAIL].table, get_namespace_oid("ctms", true));

    if (transaction != current) {
        transaction = current;
        lock_count = 0;
    }
    if (!OidIsValid(emails) || lock_count + claim->count > MAX_LOCKS_PER_TRANSACTION)
        return;
    lock_count += claim->count;
    qsort(claim->hashes, claim->count, sizeof(uint32), compare_hashes);
    for (int i = 0; i < claim->count; i++)
        LockDatabaseObject(emails, claim->hashes[i], 0, ExclusiveLock);
}

void
contact_claim_values(const Contact *stored, const Contact *wanted)
{
    Claim claim = {.count = 0};

    add_email(&claim, &stored->rows[GROUP_EMAIL], &wanted->rows[GROUP_EMAIL]);
    add_exchange(&claim, stored, wanted, GROUP_FXA, KIND_FXA_ID, FXA_FXA_ID);
    add_exchange(&claim, stored, wanted, GROUP_MOFO, KIND_MOFO_EMAIL_ID, MOFO_EMAIL_ID);
    if (claim.count > 0)
        lock_values(&claim);
}
