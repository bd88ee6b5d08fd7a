/*
 * contact/write.c: ctms.create_contact(), ctms.put_contact(), ctms.patch_contact().
 *
 * Each function reads and checks the body, locks the contact, merges the body into the stored
 * contact, and writes the difference. All this is one statement of the caller, so nobody can see
 * half of it. The answer is read from the tables after the triggers have run.
 */
#include "extension/base/compat.h"

#include "extension/base/errors.h"
#include "extension/base/kept_plan.h"
#include "extension/base/result_row.h"
#include "extension/contact/body.h"
#include "extension/contact/body_parse.h"
#include "extension/contact/conflict.h"
#include "extension/contact/json.h"
#include "extension/contact/load.h"
#include "extension/contact/merge.h"
#include "extension/contact/new_id.h"
#include "extension/contact/sql.h"
#include "extension/contact/store.h"
#include "extension/contact/waitlist.h"
#include "extension/json/text.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/uuid.h"

static const char post_conflict[] = "Contact already exists";
static const char put_conflict[] =
    "Contact with primary_email, basket_token, mofo_email_id, or fxa_id already exists";

/* How often the contact is read again because plain SQL has inserted a row of it meanwhile. */
#define MAX_ATTEMPTS 3

typedef struct WriteCall {
    ContactMethod method;
    pg_uuid_t email_id; /* from the path; for POST, the result */
    text *body;
    const char *conflict;
    bool is_created;       /* result */
    StringInfoData answer; /* result, in the caller's context */
} WriteCall;

/* ---- locking ----------------------------------------------------------------- */

/*
 * Locks the row of emails; false when there is none. With this lock other sessions may still add
 * and change rows that refer to the contact: they lock their row first and the contact later, FOR
 * KEY SHARE, so a stronger lock could end in a deadlock. No UPDATE of ours needs a stronger one,
 * because email_id, which is the only key that foreign keys can refer to, never changes.
 */
static bool
lock_contact(const pg_uuid_t *email_id)
{
    static SPIPlanPtr plan;
    Oid type = UUIDOID;
    Datum id = UUIDPGetDatum(email_id);

    kept_plan_prepare(&plan, "SELECT FROM ctms.emails WHERE email_id = $1 FOR NO KEY UPDATE", 1,
                      &type);
    return kept_plan_execute(plan, &id, NULL, false, SPI_OK_SELECT) == 1;
}

/* ---- bodies --------------------------------------------------------------------- */

static void
read_body(const WriteCall *call, ContactBody *body, BodyErrors *errors)
{
    Jsonb *json = body_parse(call->body);
    BodyPlace email_place = body_key(&body_root, "email");
    BodyPlace id_place = body_key(&email_place, "email_id");

    body_errors_init(errors);
    contact_body_read(body, call->method, json, errors);
    if (body->has_email_id && call->method == METHOD_POST && !new_id_is_accepted(&body->email_id))
        body_error_add(errors, &id_place, "value_error.uuid.version", "uuid version 4 expected");
    if (body->has_email_id && call->method != METHOD_POST &&
        memcmp(&body->email_id, &call->email_id, UUID_LEN) != 0)
        body_error_add(errors, &id_place, "value_error.email_id",
                       call->method == METHOD_PUT
                           ? "email_id in path must match email_id in contact"
                           : "cannot change email_id");
    contact_waitlist_check(body, errors);
    body_errors_raise(errors);
}

static void
merge(const ContactBody *body, const Contact *stored, Contact *wanted, BodyErrors *errors)
{
    contact_merge(body, stored, wanted, errors);
    body_errors_raise(errors);
}

/* The field is the one that is taken, if that is known. */
static void
raise_conflict(const WriteCall *call, const char *field)
{
    ereport(ERROR, errcode(ERRCODE_CTMS_CONFLICT),
            field ? errmsg("%s: %s is taken", call->conflict, field)
                  : errmsg("%s", call->conflict));
}

/*
 * Merges the body into the contact, which is locked, and writes the difference. Sessions that use
 * plain SQL do not lock the contact, so a row may have been inserted since the contact was read.
 */
static void
store_merged(const WriteCall *call, const ContactBody *body, BodyErrors *errors)
{
    Contact stored, wanted;

    for (int attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
        contact_load_one(&stored, &call->email_id, false);
        merge(body, &stored, &wanted, errors);
        if (contact_store(&stored, &wanted, call->method == METHOD_PATCH || attempt > 0))
            return;
    }
    raise_conflict(call, contact_conflict_find(&wanted, false));
}

/* ---- POST ------------------------------------------------------------------------- */

/* Finds the contact that a repeated POST would have made: by id, otherwise by address. */
static bool
find_existing(const ContactBody *body, Contact *existing)
{
    static SPIPlanPtr plan;
    Oid type = TEXTOID;
    Datum address = body->records[GROUP_EMAIL].values[EMAIL_PRIMARY_EMAIL];
    Datum email_id;
    bool is_null;

    if (body->has_email_id)
        return contact_load_one(existing, &body->email_id, false);
    kept_plan_prepare(
        &plan,
        "SELECT email_id::uuid FROM ctms.emails WHERE lower(primary_email::text) = lower($1)", 1,
        &type);
    if (kept_plan_execute(plan, &address, NULL, false, SPI_OK_SELECT) == 0)
        return false;
    email_id = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null);
    return !is_null && contact_load_one(existing, DatumGetUUIDP(email_id), false);
}

static void
create(WriteCall *call, const ContactBody *body, BodyErrors *errors)
{
    Contact nothing, wanted, existing;

    contact_init(&nothing);
    if (body->has_email_id)
        nothing.email_id = body->email_id;
    else
        new_id_make(&nothing.email_id);
    merge(body, &nothing, &wanted, errors);
    call->is_created = contact_store_new(&wanted);
    if (call->is_created) {
        if (!contact_store(&nothing, &wanted, false))
            raise_conflict(call, contact_conflict_find(&wanted, false));
        call->email_id = wanted.email_id;
        return;
    }
    if (!find_existing(body, &existing) || !contact_is_equal(&existing, &wanted))
        raise_conflict(call, contact_conflict_find(&wanted, true));
    call->email_id = existing.email_id;
}

/* ---- PUT and PATCH ------------------------------------------------------------------ */

static void
check_new_id(const WriteCall *call)
{
    BodyPlace place = body_key(&path_root, "email_id");
    BodyErrors errors;

    body_errors_init(&errors);
    if (!new_id_is_accepted(&call->email_id))
        body_error_add(&errors, &place, "value_error.uuid.version", "uuid version 4 expected");
    body_errors_raise(&errors);
}

static void
put(WriteCall *call, const ContactBody *body, BodyErrors *errors)
{
    if (!lock_contact(&call->email_id)) {
        Contact nothing, wanted;

        check_new_id(call);
        contact_init(&nothing);
        nothing.email_id = call->email_id;
        merge(body, &nothing, &wanted, errors);
        call->is_created = contact_store_new(&wanted);
        if (call->is_created) {
            if (!contact_store(&nothing, &wanted, false))
                raise_conflict(call, contact_conflict_find(&wanted, false));
            return;
        }
        /* Another session has just created it, or a value belongs to another contact. */
        if (!lock_contact(&call->email_id))
            raise_conflict(call, contact_conflict_find(&wanted, false));
    }
    store_merged(call, body, errors);
}

static void
patch(WriteCall *call, const ContactBody *body, BodyErrors *errors)
{
    if (!lock_contact(&call->email_id))
        ereport(ERROR, errcode(ERRCODE_CTMS_NOT_FOUND), errmsg("Unknown email_id"));
    store_merged(call, body, errors);
}

/* ---- entry ------------------------------------------------------------------------ */

static void
write_contact(WriteCall *call)
{
    ContactBody body;
    BodyErrors errors;
    Contact result;

    read_body(call, &body, &errors);
    switch (call->method) {
    case METHOD_POST: create(call, &body, &errors); break;
    case METHOD_PUT: put(call, &body, &errors); break;
    case METHOD_PATCH: patch(call, &body, &errors); break;
    }
    contact_load_one(&result, &call->email_id, false);
    contact_json_write(&call->answer, &result, true);
}

/*
 * Turns a unique violation into CT409, because its own detail would contain the value. The error
 * only gets another code and text, and nothing continues after the catch, so no subtransaction is
 * needed.
 */
static void
run_write(WriteCall *call)
{
    MemoryContext caller = CurrentMemoryContext;

    json_answer_begin(&call->answer);
    SPI_connect();
    PG_TRY();
    {
        write_contact(call);
    }
    PG_CATCH();
    {
        ErrorData *error;

        MemoryContextSwitchTo(caller);
        error = CopyErrorData();
        if (error->sqlerrcode == ERRCODE_UNIQUE_VIOLATION) {
            FlushErrorState();
            raise_conflict(call, contact_conflict_of_error(error));
        }
        PG_RE_THROW();
    }
    PG_END_TRY();
    SPI_finish();
}

static text *
body_argument(FunctionCallInfo fcinfo, int argument)
{
    return PG_ARGISNULL(argument) ? NULL : PG_GETARG_TEXT_PP(argument);
}

static Datum
write_by_path(FunctionCallInfo fcinfo, ContactMethod method)
{
    WriteCall call = {.method = method, .body = body_argument(fcinfo, 1), .conflict = put_conflict};

    if (PG_ARGISNULL(0)) {
        BodyPlace place = body_key(&path_root, "email_id");
        BodyErrors errors;

        body_errors_init(&errors);
        body_error_add_missing(&errors, &place);
        body_errors_raise(&errors);
    }
    call.email_id = *PG_GETARG_UUID_P(0);
    run_write(&call);
    return json_answer_end(&call.answer);
}

PG_FUNCTION_INFO_V1(ctms_create_contact);
PG_FUNCTION_INFO_V1(ctms_put_contact);
PG_FUNCTION_INFO_V1(ctms_patch_contact);

Datum
ctms_create_contact(PG_FUNCTION_ARGS)
{
    WriteCall call = {
        .method = METHOD_POST, .body = body_argument(fcinfo, 0), .conflict = post_conflict};
    Datum values[3];
    bool nulls[3] = {false, false, false};

    run_write(&call);
    values[0] = UUIDPGetDatum(&call.email_id);
    values[1] = BoolGetDatum(call.is_created);
    values[2] = json_answer_end(&call.answer);
    return result_row_make(fcinfo, values, nulls, lengthof(values));
}

Datum
ctms_put_contact(PG_FUNCTION_ARGS)
{
    return write_by_path(fcinfo, METHOD_PUT);
}

Datum
ctms_patch_contact(PG_FUNCTION_ARGS)
{
    return write_by_path(fcinfo, METHOD_PATCH);
}
