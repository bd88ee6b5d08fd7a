/*
 * acoustic/rows.c: the SQL functions that return the rows for Acoustic; see acoustic/render.h.
 *
 * ctms.acoustic_rows() returns all rows. ctms.acoustic_outgoing() returns what an agent must send
 * now: it adds the rows to be deleted, and leaves out rows that have not changed since they were
 * last sent. ctms.acoustic_diff() returns the difference between the two.
 */
#include "extension/base/compat.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/snapmgr.h"
#include "utils/uuid.h"

#include "extension/acoustic/render.h"
#include "extension/acoustic/tables.h"
#include "extension/base/result_row.h"
#include "extension/base/settings.h"
#include "extension/queue/plan.h"
#include "extension/queue/relations.h"

PG_FUNCTION_INFO_V1(ctms_acoustic_rows);
PG_FUNCTION_INFO_V1(ctms_acoustic_outgoing);
PG_FUNCTION_INFO_V1(ctms_acoustic_diff);

static QueuePlan notes_plan = {
    .sql = "SELECT d.email_id::uuid, d.kind::text, d.name::text FROM ctms.acoustic_deleted_row AS d"
           " WHERE d.email_id = ANY ($1) ORDER BY d.email_id, d.kind, d.name",
    .arg_count = 1,
    .arg_types = {UUIDARRAYOID},
    .is_read_only = true};

static QueuePlan sent_plan = {
    .sql = "SELECT s.email_id::uuid, s.hashes::jsonb FROM ctms.acoustic_sent AS s"
           " WHERE s.email_id = ANY ($1) ORDER BY s.email_id",
    .arg_count = 1,
    .arg_types = {UUIDARRAYOID},
    .is_read_only = true};

static void
put(ReturnSetInfo *result, Datum email_id, const char *kind, const char *text, int length)
{
    Datum values[3];
    bool is_null[3] = {false, false, false};

    values[0] = email_id;
    values[1] = CStringGetTextDatum(kind);
    values[2] = PointerGetDatum(cstring_to_text_with_len(text, length));
    result_row_put(result, values, is_null, lengthof(values));
}

/* ---- all of it ---------------------------------------------------------------------- */

static void
put_row(void *arg, Datum email_id, AcousticKind kind, const char *name, const StringInfoData *json)
{
    put(arg, email_id, acoustic_layout_row_name(kind), json->data, json->len);
}

/* ctms.acoustic_rows(email_ids) → rows, contact by contact */
Datum
ctms_acoustic_rows(PG_FUNCTION_ARGS)
{
    AcousticSink sink = {.form = ACOUSTIC_JSON, .row = put_row, .arg = fcinfo->resultinfo};

    InitMaterializedSRF(fcinfo, 0);
    acoustic_render_contacts(PG_GETARG_ARRAYTYPE_P(0), &sink);
    return (Datum)0;
}

/* ---- what is kept of contacts --------------------------------------------------------- */

/* The rows of a statement, in order of email_id, and the position of the walk. */
typedef struct Kept {
    SPITupleTable *table;
    uint64 count;
    uint64 next;
} Kept;

static Kept
read_kept(QueuePlan *plan, Datum email_ids)
{
    Kept kept = {0};

    kept.count = queue_run_plan(plan, &email_ids, NULL, SPI_OK_SELECT);
    kept.table = SPI_tuptable;
    return kept;
}

/* 0 for null, which no column has unless somebody has changed the tables. */
static Datum
kept_value(const Kept *kept, int column)
{
    bool is_null;

    return SPI_getbinval(kept->table->vals[kept->next], kept->table->tupdesc, column, &is_null);
}

static char *
kept_text(const Kept *kept, int column)
{
    Datum value = kept_value(kept, column);

    return value ? TextDatumGetCString(value) : pstrdup("");
}

static int
compare_uuid(Datum a, Datum b)
{
    return memcmp(DatumGetUUIDP(a), DatumGetUUIDP(b), UUID_LEN);
}

/*
 * Moves the walk to the contact; true if there is a (further) row of it. Contacts must be asked
 * for in order.
 */
static bool
is_at(Kept *kept, Datum email_id)
{
    while (kept->next < kept->count && compare_uuid(kept_value(kept, 1), email_id) < 0)
        kept->next++;
    return kept->next < kept->count && compare_uuid(kept_value(kept, 1), email_id) == 0;
}

/* ---- outgoing --------------------------------------------------------------------------- */

typedef struct OutgoingRow {
    const char *kind;
    const char *name;
    char *json;
    int length;
    char hash[17];
    bool is_sent; /* Acoustic already has it */
} OutgoingRow;

typedef struct Outgoing {
    ReturnSetInfo *result;
    Kept notes;
    Kept sent;
    bool is_diff;
    bool is_unchanged_skipped; /* the setting, the same for all contacts of a call */
    /* The contacts whose hashes can be trusted, sorted; for a diff, all contacts. */
    Datum *trusted;
    int trusted_count;
    /* The rows of the current contact; they live until it is done. */
    OutgoingRow *rows;
    int count;
    int capacity;
} Outgoing;

static void
take_row(void *arg, Datum email_id, AcousticKind kind, const char *name, const StringInfoData *json)
{
    Outgoing *out = arg;
    OutgoingRow *row;
    uint64 hash;

    if (out->count == out->capacity) {
        int capacity = out->count == 0 ? 16 : 2 * out->count;

        out->rows = out->count == 0 ? palloc(capacity * sizeof(OutgoingRow))
                                    : repalloc(out->rows, capacity * sizeof(OutgoingRow));
        out->capacity = capacity;
    }
    row = &out->rows[out->count++];
    *row = (OutgoingRow){.kind = acoustic_layout_row_name(kind), .name = name, .length = json->len};
    row->json = pnstrdup(json->data, json->len);
    hash = hash_bytes_extended((const unsigned char *)json->data, json->len, 0);
    snprintf(row->hash, sizeof(row->hash), "%016llx", (unsigned long long)hash);
}

/* "main", or kind and name. */
static char *
key_of(const OutgoingRow *row)
{
    return *row->name ? psprintf("%s:%s", row->kind, row->name) : pstrdup(row->kind);
}

static bool
has_hash(Jsonb *hashes, const OutgoingRow *row, bool *is_same)
{
    char *key = key_of(row);
    JsonbValue *value = getKeyJsonValueFromContainer(&hashes->root, key, strlen(key), NULL);

    *is_same = value && value->type == jbvString &&
               value->val.string.len == (int)strlen(row->hash) &&
               memcmp(value->val.string.val, row->hash, value->val.string.len) == 0;
    return value != NULL;
}

static int
compare_uuids(const void *a, const void *b)
{
    return compare_uuid(*(const Datum *)a, *(const Datum *)b);
}

static bool
is_trusted(const Outgoing *out, Datum email_id)
{
    return out->is_diff || bsearch(&email_id, out->trusted, out->trusted_count, sizeof(Datum),
                                   compare_uuids) != NULL;
}

/* The hashes of what was last sent; null when it is not certain what was sent. */
static Jsonb *
sent_hashes(Outgoing *out, Datum email_id)
{
    Datum hashes;

    if (!out->sent.table || !is_at(&out->sent, email_id) || !is_trusted(out, email_id))
        return NULL;
    hashes = kept_value(&out->sent, 2);
    return hashes ? DatumGetJsonbP(hashes) : NULL;
}

static bool
is_row_there(const Outgoing *out, const char *kind, const char *name)
{
    for (int i = 0; i < out->count; i++)
        if (strcmp(out->rows[i].kind, kind) == 0 && strcmp(out->rows[i].name, name) == 0)
            return true;
    return false;
}

/* Adds the rows of the contact that must be deleted; returns how many there are. */
static int
put_deletions(Outgoing *out, Datum email_id)
{
    int put_count = 0;

    for (; out->notes.table && is_at(&out->notes, email_id); out->notes.next++) {
        char *kind = kept_text(&out->notes, 2);
        char *name = kept_text(&out->notes, 3);
        StringInfoData json;

        if (is_row_there(out, kind, name))
            continue;
        put_count++;
        initStringInfo(&json);
        appendStringInfoString(&json, "{\"email_id\":");
        escape_json(&json, DatumGetCString(DirectFunctionCall1(uuid_out, email_id)));
        appendStringInfo(&json, ",\"%s\":",
                         strcmp(kind, "product") == 0 ? "product_id" : psprintf("%s_name", kind));
        escape_json(&json, name);
        appendStringInfoChar(&json, '}');
        put(out->result, email_id, psprintf("delete_%s", kind), json.data, json.len);
    }
    return put_count;
}

static void
put_hashes(Outgoing *out, Datum email_id, bool is_any_sent)
{
    StringInfoData json;

    initStringInfo(&json);
    appendStringInfoChar(&json, '{');
    for (int i = 0; i < out->count; i++) {
        appendStringInfoString(&json, i > 0 ? "," : "");
        escape_json(&json, key_of(&out->rows[i]));
        appendStringInfo(&json, ":\"%s\"", out->rows[i].hash);
    }
    appendStringInfoChar(&json, '}');
    put(out->result, email_id, is_any_sent ? "hashes" : "unchanged", json.data, json.len);
}

/*
 * If any row is sent, the main row is sent too, because it is the one that makes the contact
 * known.
 */
static void
put_outgoing(void *arg, Datum email_id)
{
    Outgoing *out = arg;
    Jsonb *hashes = sent_hashes(out, email_id);
    bool is_any_sent = put_deletions(out, email_id) > 0;

    for (int i = 0; i < out->count; i++) {
        if (hashes)
            has_hash(hashes, &out->rows[i], &out->rows[i].is_sent);
        is_any_sent |= !out->rows[i].is_sent;
    }
    for (int i = 0; is_any_sent && i < out->count; i++)
        if (i == 0 || !out->rows[i].is_sent)
            put(out->result, email_id, out->rows[i].kind, out->rows[i].json, out->rows[i].length);
    if (out->is_unchanged_skipped)
        put_hashes(out, email_id, is_any_sent);
    out->count = out->capacity = 0;
}

/* Sorts the contacts by the state that their claim returned. */
static void
sort_contacts(Outgoing *out, ArrayType *email_ids, ArrayType *states, ArrayBuildState **live,
              ArrayBuildState **deleted)
{
    Datum *ids, *texts;
    bool *are_ids_null, *are_texts_null;
    int count, state_count;

    deconstruct_array(email_ids, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR, &ids, &are_ids_null,
                      &count);
    deconstruct_array(states, TEXTOID, -1, false, TYPALIGN_INT, &texts, &are_texts_null,
                      &state_count);
    if (count != state_count)
        ereport(ERROR, errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
                errmsg("the arrays must have one element for each contact"));
    out->trusted = palloc(Max(count, 1) * sizeof(Datum));
    for (int i = 0; i < count; i++) {
        char *state = are_texts_null[i] ? pstrdup("") : TextDatumGetCString(texts[i]);
        ArrayBuildState **list = strcmp(state, "deleted") == 0 ? deleted : live;

        *list = accumArrayResult(*list, ids[i], are_ids_null[i], UUIDOID, CurrentMemoryContext);
        if (strcmp(state, "new") == 0 && !are_ids_null[i])
            out->trusted[out->trusted_count++] = ids[i];
    }
    qsort(out->trusted, out->trusted_count, sizeof(Datum), compare_uuids);
}

static void
put_deleted_contacts(Outgoing *out, Datum email_ids)
{
    out->notes = read_kept(&notes_plan, email_ids);
    while (out->notes.next < out->notes.count)
        put_deletions(out, kept_value(&out->notes, 1));
}

/* ctms.acoustic_outgoing(email_ids, states) → rows, contact by contact */
Datum
ctms_acoustic_outgoing(PG_FUNCTION_ARGS)
{
    Outgoing out = {.result = (ReturnSetInfo *)fcinfo->resultinfo};
    AcousticSink sink = {
        .form = ACOUSTIC_JSON, .row = take_row, .contact_done = put_outgoing, .arg = &out};
    AcousticSink plain = {.form = ACOUSTIC_JSON, .row = put_row, .arg = out.result};
    ArrayBuildState *live = NULL, *deleted = NULL;
    bool is_any_noted = queue_is_table_used(queue_relations()->deleted_rows);
    bool is_snapshot_new;
    Datum email_ids;

    InitMaterializedSRF(fcinfo, 0);
    is_snapshot_new = acoustic_tables_hold();
    out.is_unchanged_skipped = settings_is_on(SETTING_ACOUSTIC_SKIP_UNCHANGED);
    sort_contacts(&out, PG_GETARG_ARRAYTYPE_P(0), PG_GETARG_ARRAYTYPE_P(1), &live, &deleted);
    SPI_connect();
    if (live) {
        email_ids = makeArrayResult(live, CurrentMemoryContext);
        if (is_any_noted)
            out.notes = read_kept(&notes_plan, email_ids);
        if (out.is_unchanged_skipped)
            out.sent = read_kept(&sent_plan, email_ids);
        acoustic_render_contacts(DatumGetArrayTypeP(email_ids),
                                 is_any_noted || out.is_unchanged_skipped ? &sink : &plain);
    }
    if (deleted && is_any_noted)
        put_deleted_contacts(&out, makeArrayResult(deleted, CurrentMemoryContext));
    SPI_finish();
    if (is_snapshot_new)
        PopActiveSnapshot();
    return (Datum)0;
}

/* ---- the difference ------------------------------------------------------------------- */

static void
put_difference(Outgoing *out, Datum email_id, const char *kind, const char *name,
               const char *change)
{
    Datum values[4];
    bool is_null[4] = {false, false, false, false};

    values[0] = email_id;
    values[1] = CStringGetTextDatum(kind);
    values[2] = CStringGetTextDatum(name);
    values[3] = CStringGetTextDatum(change);
    result_row_put(out->result, values, is_null, lengthof(values));
}

/* Rows that were sent and no longer exist. */
static void
put_removed(Outgoing *out, Datum email_id, Jsonb *hashes)
{
    JsonbIterator *iterator = JsonbIteratorInit(&hashes->root);
    JsonbValue value;
    JsonbIteratorToken token;

    while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE) {
        char *key, *colon;

        if (token != WJB_KEY)
            continue;
        key = pnstrdup(value.val.string.val, value.val.string.len);
        colon = strchr(key, ':');
        if (!colon)
            continue;
        *colon = '\0';
        if (!is_row_there(out, key, colon + 1))
            put_difference(out, email_id, key, colon + 1, "removed");
    }
}

/* Rows that were deleted but of which it is not known whether they were sent. */
static void
put_noted(Outgoing *out, Datum email_id, Jsonb *hashes)
{
    for (; is_at(&out->notes, email_id); out->notes.next++) {
        OutgoingRow row = {.kind = kept_text(&out->notes, 2), .name = kept_text(&out->notes, 3)};
        bool is_same;

        if (!is_row_there(out, row.kind, row.name) && !(hashes && has_hash(hashes, &row, &is_same)))
            put_difference(out, email_id, row.kind, row.name, "removed");
    }
}

static void
put_contact_difference(void *arg, Datum email_id)
{
    Outgoing *out = arg;
    Jsonb *hashes = sent_hashes(out, email_id);

    for (int i = 0; i < out->count; i++) {
        const OutgoingRow *row = &out->rows[i];
        bool is_same = false;
        const char *change = "unknown";

        if (hashes)
            change = !has_hash(hashes, row, &is_same) ? "new" : is_same ? "unchanged" : "changed";
        put_difference(out, email_id, row->kind, row->name, change);
    }
    if (hashes)
        put_removed(out, email_id, hashes);
    put_noted(out, email_id, hashes);
    out->count = out->capacity = 0;
}

/* ctms.acoustic_diff(email_ids) → rows, contact by contact */
Datum
ctms_acoustic_diff(PG_FUNCTION_ARGS)
{
    Outgoing out = {.result = (ReturnSetInfo *)fcinfo->resultinfo, .is_diff = true};
    AcousticSink sink = {.form = ACOUSTIC_JSON,
                         .row = take_row,
                         .contact_done = put_contact_difference,
                         .arg = &out};

    InitMaterializedSRF(fcinfo, 0);
    SPI_connect();
    out.sent = read_kept(&sent_plan, PG_GETARG_DATUM(0));
    out.notes = read_kept(&notes_plan, PG_GETARG_DATUM(0));
    acoustic_render_contacts(PG_GETARG_ARRAYTYPE_P(0), &sink);
    SPI_finish();
    return (Datum)0;
}
