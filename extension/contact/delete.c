/*
 * contact/delete.c: ctms.delete_contact(): deletes everything about the contact with an address.
 *
 * Stripe's rows are deleted first. Storing Stripe objects locks them before the contact, so this
 * must do the same (docs/contacts.md, "Order of locks"). Only then is the contact locked. If its
 * address has changed in the meantime, the whole statement is undone.
 *
 * Plain SQL locks a row that belongs to a contact first, and then the contact, FOR KEY SHARE. A
 * session that holds such a row must not have to wait for this one, which wants the row. So the
 * contact is locked FOR NO KEY UPDATE until everything else is deleted, and FOR UPDATE only when
 * nothing is left to wait for.
 */
#include "extension/base/compat.h"

#include "extension/base/kept_plan.h"
#include "extension/base/subtransaction.h"
#include "extension/contact/json.h"
#include "extension/contact/load.h"
#include "extension/contact/sql.h"
#include "extension/contact/store.h"
#include "extension/json/text.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/uuid.h"

/*
 * How often rows are deleted that others have just added. If there are still some, or a trigger of
 * others keeps them from being deleted, the foreign key refuses the deletion of the contact.
 */
#define MAX_ATTEMPTS 20

/* ---- statements with one parameter -------------------------------------------------- */

typedef struct Statement {
    SPIPlanPtr plan;
    const char *sql;
    Oid type;
} Statement;

static uint64
run(Statement *statement, Datum parameter)
{
    kept_plan_prepare(&statement->plan, statement->sql, 1, &statement->type);
    return kept_plan_execute(statement->plan, &parameter, NULL, false, 0);
}

/* The first column of the last statement as text[]. */
static Datum
result_texts(void)
{
    Datum *values = palloc((SPI_processed + 1) * sizeof(Datum));
    int count = 0;
    bool is_null;

    for (uint64 i = 0; i < SPI_processed; i++) {
        values[count] = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &is_null);
        count += is_null ? 0 : 1;
    }
    return PointerGetDatum(construct_array(values, count, TEXTOID, -1, false, TYPALIGN_INT));
}

/* ---- Stripe --------------------------------------------------------------------------- */

/*
 * Deletes the customer with this FxA ID and everything that belongs to it, and what names them and
 * was refused. Returns whether there was any of that.
 */
static bool
delete_stripe(Datum fxa_id)
{
    static Statement lock_customer = {
        .sql = "SELECT stripe_id::text FROM ctms.stripe_customer WHERE fxa_id = $1 FOR UPDATE",
        .type = TEXTOID};
    static Statement list_ids = {
        .sql = "SELECT $1 UNION ALL SELECT stripe_id::text FROM ctms.stripe_customer"
               " WHERE fxa_id = $1",
        .type = TEXTOID};
    static Statement lock_subscriptions = {
        .sql = "SELECT stripe_id::text FROM ctms.stripe_subscription"
               " WHERE stripe_customer_id = ANY ($1) ORDER BY stripe_id FOR UPDATE",
        .type = TEXTARRAYOID};
    static Statement lock_invoices = {
        .sql = "SELECT stripe_id::text FROM ctms.stripe_invoice"
               " WHERE stripe_customer_id = ANY ($1) ORDER BY stripe_id FOR UPDATE",
        .type = TEXTARRAYOID};
    static Statement delete_items = {
        .sql = "DELETE FROM ctms.stripe_subscription_item WHERE stripe_subscription_id = ANY ($1)",
        .type = TEXTARRAYOID};
    static Statement delete_lines = {
        .sql = "DELETE FROM ctms.stripe_invoice_line_item WHERE stripe_invoice_id = ANY ($1)",
        .type = TEXTARRAYOID};
    static Statement delete_subscriptions = {
        .sql = "DELETE FROM ctms.stripe_subscription WHERE stripe_id = ANY ($1)",
        .type = TEXTARRAYOID};
    static Statement delete_invoices = {
        .sql = "DELETE FROM ctms.stripe_invoice WHERE stripe_id = ANY ($1)", .type = TEXTARRAYOID};
    static Statement delete_customers = {
        .sql = "DELETE FROM ctms.stripe_customer WHERE stripe_id = ANY ($1)", .type = TEXTARRAYOID};
    /* In the order in which ctms._store_stripe() writes them. */
    static Statement forget_refused = {
        .sql = "DELETE FROM ctms.stripe_refused WHERE id IN (SELECT id FROM ctms.stripe_refused"
               " WHERE customer_id = ANY ($1) OR fxa_id = ANY ($1) ORDER BY digest FOR UPDATE)",
        .type = TEXTARRAYOID};
    Datum customers, ids, subscriptions, invoices;
    bool is_customer = run(&lock_customer, fxa_id) > 0;

    customers = result_texts();
    run(&list_ids, fxa_id);
    ids = result_texts();
    if (!is_customer)
        return run(&forget_refused, ids) > 0;
    run(&lock_subscriptions, customers);
    subscriptions = result_texts();
    run(&lock_invoices, customers);
    invoices = result_texts();
    run(&delete_items, subscriptions);
    run(&delete_lines, invoices);
    run(&delete_subscriptions, subscriptions);
    run(&delete_invoices, invoices);
    run(&delete_customers, customers);
    run(&forget_refused, ids);
    return true;
}

/* ---- the contact ------------------------------------------------------------------------ */

/* The contact that has the address, without and with a lock. */
static Statement find_contact = {
    .sql = "SELECT email_id::uuid FROM ctms.emails WHERE lower(primary_email::text) = lower($1)",
    .type = TEXTOID};
static Statement lock_contact = {
    .sql = "SELECT email_id::uuid FROM ctms.emails WHERE lower(primary_email::text) = lower($1)"
           " FOR NO KEY UPDATE",
    .type = TEXTOID};

static bool
find(Statement *statement, Datum address, pg_uuid_t *email_id)
{
    Datum found;
    bool is_null;

    if (run(statement, address) == 0)
        return false;
    found = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null);
    if (is_null)
        return false;
    *email_id = *DatumGetUUIDP(found);
    return true;
}

static bool
delete_stripe_of(const Contact *contact)
{
    const ContactRecord *fxa = &contact->rows[GROUP_FXA];

    return !fxa->nulls[FXA_FXA_ID] && delete_stripe(fxa->values[FXA_FXA_ID]);
}

static void
raise_changed(void)
{
    ereport(ERROR, errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
            errmsg("the contact has changed while it was being deleted"), errhint("Try again."));
}

/* Whether any row refers to the contact. */
static bool
has_rows(Datum email_id)
{
    static Statement look = {.type = UUIDOID};
    StringInfoData sql;

    if (look.plan == NULL) {
        initStringInfo(&sql);
        for (int group = GROUP_EMAIL + 1; group < CONTACT_STORED_GROUPS; group++)
            appendStringInfo(&sql, "%s EXISTS (SELECT FROM ctms.%s WHERE email_id = $1)",
                             group == GROUP_EMAIL + 1 ? "SELECT WHERE" : " OR",
                             contact_groups[group].table);
        look.sql = sql.data;
    }
    return run(&look, email_id) > 0;
}

typedef struct LastLock {
    const pg_uuid_t *email_id;
    bool is_last_attempt;
} LastLock;

/*
 * Takes the lock that a DELETE takes, so that no row can be added to the contact any more. The
 * lock is given up again if one was added before that: another session may hold it and wait for
 * the contact.
 */
static bool
lock_alone(void *arg)
{
    static Statement lock = {.sql = "SELECT FROM ctms.emails WHERE email_id = $1 FOR UPDATE",
                             .type = UUIDOID};
    LastLock *last = arg;
    Datum id = UUIDPGetDatum(last->email_id);

    run(&lock, id);
    return last->is_last_attempt || !has_rows(id);
}

/*
 * The queue row is deleted together with the contact's row, but its lease is kept
 * (52_acoustic_memory.sql).
 */
static void
delete_rows(const pg_uuid_t *email_id)
{
    LastLock last = {.email_id = email_id};
    int attempts = 0;

    do {
        for (int group = CONTACT_STORED_GROUPS - 1; group > GROUP_EMAIL; group--)
            contact_store_delete_group(email_id, group);
        last.is_last_attempt = ++attempts == MAX_ATTEMPTS;
    } while (!subtransaction_try(lock_alone, &last, NULL));
    contact_store_delete_group(email_id, GROUP_EMAIL);
}

/* Deletes everything and writes the identity; false when no contact has the address. */
static bool
delete_contact(Datum address, StringInfo json)
{
    Contact contact = {0};
    pg_uuid_t locked;
    bool had_stripe;

    if (!find(&find_contact, address, &contact.email_id))
        return false;
    contact_load(&contact, 1, CONTACT_ROWS, false);
    had_stripe = delete_stripe_of(&contact);
    if (!find(&lock_contact, address, &locked)) {
        /* Another session has deleted the contact. But if Stripe's rows were deleted, the address
         * may just have changed, and they may belong to a contact that still exists. */
        if (had_stripe)
            raise_changed();
        return false;
    }
    if (memcmp(&locked, &contact.email_id, UUID_LEN) != 0)
        raise_changed();
    contact_load(&contact, 1, CONTACT_ROWS, false);
    delete_stripe_of(&contact); /* again, because the FxA ID may have changed */
    delete_rows(&contact.email_id);
    contact_json_write_identity(json, &contact);
    return true;
}

PG_FUNCTION_INFO_V1(ctms_delete_contact);

Datum
ctms_delete_contact(PG_FUNCTION_ARGS)
{
    StringInfoData json;
    bool is_found;

    json_answer_begin(&json);
    appendStringInfoChar(&json, '[');
    SPI_connect();
    is_found = delete_contact(PG_GETARG_DATUM(0), &json);
    SPI_finish();
    if (!is_found)
        PG_RETURN_NULL();
    appendStringInfoChar(&json, ']');
    return json_answer_end(&json);
}
