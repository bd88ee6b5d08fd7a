/*
 * contact/updates.c: ctms.get_updates(): contacts by update time, page by page.
 *
 * A page begins after the (update_timestamp, email_id) that its cursor names. So pages neither
 * skip nor repeat a contact, however many have equal timestamps, and each page costs one descent
 * into the index. The cursor is 27 bytes in URL-safe base64: the time as PostgreSQL's
 * microseconds, big endian; the id; and 3 bytes that distinguish our cursors from any other text.
 *
 * ctms.get_updates_parts() returns the same text in parts, so that a client that waits for a page
 * gets its beginning while the rest is being made.
 */
#include "extension/base/compat.h"

#include "extension/base/iso_time.h"
#include "extension/base/kept_plan.h"
#include "extension/base/unix_time.h"
#include "extension/contact/body_error.h"
#include "extension/contact/body_form.h"
#include "extension/contact/json.h"
#include "extension/contact/load.h"
#include "extension/contact/sql.h"
#include "extension/json/text.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "port/pg_crc32c.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#define DEFAULT_LIMIT 100
#define MAX_LIMIT 1000
/* Contacts in one part. */
#define PART 100

typedef struct UpdatesCursor {
    TimestampTz time;
    pg_uuid_t email_id;
} UpdatesCursor;

#define CURSOR_CHECKED_BYTES 24
#define CURSOR_BYTES 27
#define CURSOR_CHARS 36

typedef enum MofoFilter { FILTER_NONE, FILTER_RELEVANT, FILTER_NOT_RELEVANT } MofoFilter;

typedef struct UpdatesQuery {
    TimestampTz start;
    TimestampTz end;
    int limit;
    bool has_after;
    UpdatesCursor after;
    MofoFilter mofo;
} UpdatesQuery;

/*
 * A parameter as the client sent it; "bytes" is NULL when it is absent. An empty one counts as
 * absent, except "start".
 */
typedef struct Parameter {
    const char *bytes;
    int length;
    BodyPlace place;
} Parameter;

/* ---- cursors --------------------------------------------------------------------- */

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void
cursor_checksum(const unsigned char *bytes, unsigned char *checksum)
{
    pg_crc32c crc;

    INIT_CRC32C(crc);
    COMP_CRC32C(crc, bytes, CURSOR_CHECKED_BYTES);
    FIN_CRC32C(crc);
    checksum[0] = crc & 0xff;
    checksum[1] = crc >> 8 & 0xff;
    checksum[2] = crc >> 16 & 0xff;
}

static void
cursor_write(StringInfo out, const UpdatesCursor *cursor)
{
    unsigned char bytes[CURSOR_BYTES];
    uint64 time = pg_hton64((uint64)cursor->time);

    memcpy(bytes, &time, sizeof(time));
    memcpy(bytes + sizeof(time), &cursor->email_id, UUID_LEN);
    cursor_checksum(bytes, bytes + CURSOR_CHECKED_BYTES);
    for (int i = 0; i < CURSOR_BYTES; i += 3) {
        uint32 group = (uint32)bytes[i] << 16 | (uint32)bytes[i + 1] << 8 | bytes[i + 2];

        for (int shift = 18; shift >= 0; shift -= 6)
            appendStringInfoChar(out, base64_digits[group >> shift & 63]);
    }
}

static bool
cursor_read(const char *text, int length, UpdatesCursor *cursor)
{
    unsigned char bytes[CURSOR_BYTES];
    unsigned char checksum[CURSOR_BYTES - CURSOR_CHECKED_BYTES];
    uint64 time;

    if (length != CURSOR_CHARS)
        return false;
    for (int i = 0, at = 0; i < CURSOR_CHARS; i += 4, at += 3) {
        uint32 group = 0;

        for (int j = 0; j < 4; j++) {
            const char *digit = text[i + j] == '\0' ? NULL : strchr(base64_digits, text[i + j]);

            if (digit == NULL)
                return false;
            group = group << 6 | (uint32)(digit - base64_digits);
        }
        bytes[at] = group >> 16;
        bytes[at + 1] = group >> 8;
        bytes[at + 2] = group;
    }
    cursor_checksum(bytes, checksum);
    memcpy(&time, bytes, sizeof(time));
    cursor->time = (TimestampTz)pg_ntoh64(time);
    memcpy(&cursor->email_id, bytes + sizeof(time), UUID_LEN);
    return memcmp(checksum, bytes + CURSOR_CHECKED_BYTES, sizeof(checksum)) == 0 &&
           IS_VALID_TIMESTAMP(cursor->time);
}

/* ---- parameters -------------------------------------------------------------------- */

static Parameter
get_parameter(FunctionCallInfo fcinfo, int argument, const char *name)
{
    Parameter parameter = {.place = body_key(&query_root, name)};

    if (!PG_ARGISNULL(argument)) {
        text *value = PG_GETARG_TEXT_PP(argument);

        parameter.bytes = VARDATA_ANY(value);
        parameter.length = VARSIZE_ANY_EXHDR(value);
    }
    return parameter;
}

static void
read_time(const Parameter *parameter, TimestampTz *time, BodyErrors *errors)
{
    if (!iso_time_read(parameter->bytes, parameter->length, time) &&
        !unix_time_read(parameter->bytes, parameter->length, time))
        body_error_add(errors, &parameter->place, "value_error.datetime",
                       "invalid datetime format");
}

static int
read_limit(const Parameter *parameter, BodyErrors *errors)
{
    bool is_negative = parameter->length > 0 && parameter->bytes[0] == '-';
    int digits = is_negative ? 1 : 0;
    int64 limit = 0;

    for (int i = digits; i < parameter->length; i++) {
        if (parameter->bytes[i] < '0' || parameter->bytes[i] > '9')
            digits = parameter->length;
        else if (limit <= MAX_LIMIT)
            limit = limit * 10 + (parameter->bytes[i] - '0');
    }
    if (digits == parameter->length)
        body_error_add(errors, &parameter->place, "type_error.integer",
                       "value is not a valid integer");
    else if (is_negative || limit == 0)
        body_error_add(errors, &parameter->place, "value_error.number.not_ge",
                       "ensure this value is greater than or equal to 1");
    else if (limit > MAX_LIMIT)
        body_error_add(errors, &parameter->place, "value_error.number.not_le",
                       "ensure this value is less than or equal to %d", MAX_LIMIT);
    return (int)limit;
}

static MofoFilter
read_mofo(const Parameter *parameter, BodyErrors *errors)
{
    bool is_relevant = false;

    if (!body_form_read_flag(parameter->bytes, parameter->length, &is_relevant))
        body_error_add(errors, &parameter->place, "type_error.bool",
                       "value could not be parsed to a boolean");
    return is_relevant ? FILTER_RELEVANT : FILTER_NOT_RELEVANT;
}

static UpdatesQuery
read_query(FunctionCallInfo fcinfo)
{
    UpdatesQuery query = {
        .end = GetCurrentTransactionStartTimestamp(), .limit = DEFAULT_LIMIT, .mofo = FILTER_NONE};
    Parameter start = get_parameter(fcinfo, 0, "start");
    Parameter end = get_parameter(fcinfo, 1, "end");
    Parameter limit = get_parameter(fcinfo, 2, "limit");
    Parameter after = get_parameter(fcinfo, 3, "after");
    Parameter mofo = get_parameter(fcinfo, 4, "mofo_relevant");
    BodyErrors errors;

    body_errors_init(&errors);
    if (start.bytes == NULL)
        body_error_add_missing(&errors, &start.place);
    else
        read_time(&start, &query.start, &errors);
    if (end.length > 0)
        read_time(&end, &query.end, &errors);
    if (errors.count == 0 && query.end < query.start)
        body_error_add(&errors, end.length > 0 ? &end.place : &start.place, "value_error.range",
                       "\"end\" must not be before \"start\"");
    if (limit.length > 0)
        query.limit = read_limit(&limit, &errors);
    query.has_after = after.length > 0;
    if (query.has_after && !cursor_read(after.bytes, after.length, &query.after))
        body_error_add(&errors, &after.place, "value_error.cursor",
                       "not a value that an earlier answer gave");
    if (mofo.length > 0)
        query.mofo = read_mofo(&mofo, &errors);
    body_errors_raise(&errors);
    return query;
}

/* ---- the page ---------------------------------------------------------------------- */

typedef struct UpdatesPage {
    UpdatesQuery query;
    char *prefix;
    UpdatesCursor *entries; /* in order */
    int count;
    int written;
    bool has_more; /* another page follows */
} UpdatesPage;

static SPIPlanPtr
page_plan(MofoFilter mofo)
{
    static SPIPlanPtr plans[3];
    static const char *const filters[] = {
        "",
        " AND EXISTS (SELECT FROM ctms.mofo AS m WHERE m.email_id = e.email_id AND "
        "m.mofo_relevant::boolean)",
        " AND NOT EXISTS (SELECT FROM ctms.mofo AS m WHERE m.email_id = e.email_id"
        " AND m.mofo_relevant::boolean)"};
    Oid types[] = {TIMESTAMPTZOID, UUIDOID, TIMESTAMPTZOID, INT8OID};

    if (plans[mofo] != NULL)
        return plans[mofo];
    return kept_plan_prepare(
        &plans[mofo],
        psprintf("SELECT e.update_timestamp::timestamptz, e.email_id::uuid FROM ctms.emails AS e"
                 " WHERE (e.update_timestamp, e.email_id) > ($1, $2) AND e.update_timestamp < $3"
                 " AND e.email_id IS NOT NULL%s"
                 " ORDER BY e.update_timestamp, e.email_id LIMIT $4",
                 filters[mofo]),
        4, types);
}

/*
 * The entry after which the page begins: the cursor, or else the highest id at the microsecond
 * before start. The index gets one lower bound instead of two, so that a later page does not walk
 * over the earlier ones.
 */
static UpdatesCursor
lower_bound(const UpdatesQuery *query)
{
    UpdatesCursor bound = {.time = query->start - 1};

    memset(&bound.email_id, 0xff, UUID_LEN);
    return query->has_after && query->after.time >= query->start ? query->after : bound;
}

static UpdatesCursor
read_entry(uint64 row)
{
    HeapTuple tuple = SPI_tuptable->vals[row];
    TupleDesc desc = SPI_tuptable->tupdesc;
    bool is_null;

    return (UpdatesCursor){.time = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 1, &is_null)),
                           .email_id = *DatumGetUUIDP(SPI_getbinval(tuple, desc, 2, &is_null))};
}

/* The page is allocated in the current memory context. */
static UpdatesPage *
find_page(FunctionCallInfo fcinfo)
{
    UpdatesPage *page = palloc0(sizeof(UpdatesPage));
    UpdatesQuery query = read_query(fcinfo);
    UpdatesCursor bound = lower_bound(&query);
    Datum values[] = {TimestampTzGetDatum(bound.time), UUIDPGetDatum(&bound.email_id),
                      TimestampTzGetDatum(query.end), Int64GetDatum(query.limit + 1)};
    uint64 found;

    page->query = query;
    page->prefix = PG_ARGISNULL(5) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(5));
    page->entries = palloc(query.limit * sizeof(UpdatesCursor));
    SPI_connect();
    found = kept_plan_execute(page_plan(query.mofo), values, NULL, true, SPI_OK_SELECT);
    page->has_more = found > (uint64)query.limit;
    page->count = page->has_more ? query.limit : (int)found;
    for (int i = 0; i < page->count; i++)
        page->entries[i] = read_entry(i);
    SPI_finish();
    return page;
}

/* Writes a time as a query parameter. Of its characters only "+" and ":" must be escaped. */
static void
write_url_time(StringInfo url, TimestampTz time)
{
    StringInfoData plain;

    initStringInfo(&plain);
    iso_time_write(&plain, time);
    for (int i = 0; i < plain.len; i++) {
        if (plain.data[i] == '+' || plain.data[i] == ':')
            appendStringInfo(url, "%%%02X", plain.data[i]);
        else
            appendStringInfoChar(url, plain.data[i]);
    }
}

static void
write_next(StringInfo json, const UpdatesQuery *query, const char *after, const char *prefix)
{
    StringInfoData url;

    initStringInfo(&url);
    appendStringInfo(&url, "%s/updates?start=", prefix);
    write_url_time(&url, query->start);
    appendStringInfoString(&url, "&end=");
    write_url_time(&url, query->end);
    appendStringInfo(&url, "&limit=%d&after=%s", query->limit, after);
    if (query->mofo != FILTER_NONE)
        appendStringInfo(&url, "&mofo_relevant=%s",
                         query->mofo == FILTER_RELEVANT ? "true" : "false");
    json_text_write(json, url.data, url.len);
}

static void
write_head(StringInfo json, const UpdatesPage *page)
{
    const UpdatesQuery *query = &page->query;
    StringInfoData after;

    appendStringInfoString(json, "{\"start\":");
    json_text_write_time(json, query->start);
    appendStringInfoString(json, ",\"end\":");
    json_text_write_time(json, query->end);
    appendStringInfo(json, ",\"limit\":%d,\"after\":", query->limit);
    if (!page->has_more) {
        appendStringInfoString(json, "null,\"next\":null,\"items\":[");
        return;
    }
    initStringInfo(&after);
    cursor_write(&after, &page->entries[page->count - 1]);
    json_text_write(json, after.data, after.len);
    appendStringInfoString(json, ",\"next\":");
    write_next(json, query, after.data, page->prefix);
    appendStringInfoString(json, ",\"items\":[");
}

/*
 * Writes the contacts of the next part, with the head before the first part and the end after the
 * last.
 */
static void
write_part(StringInfo json, UpdatesPage *page)
{
    int count = Min(PART, page->count - page->written);
    Contact *contacts = palloc((count + 1) * sizeof(Contact));

    if (page->written == 0)
        write_head(json, page);
    for (int i = 0; i < count; i++)
        contacts[i].email_id = page->entries[page->written + i].email_id;
    contact_load(contacts, count, CONTACT_ALL, true);
    for (int i = 0; i < count; i++) {
        CHECK_FOR_INTERRUPTS();
        if (page->written++ > 0)
            appendStringInfoChar(json, ',');
        contact_json_write(json, &contacts[i], false);
    }
    if (page->written == page->count)
        appendStringInfoString(json, "]}");
}

/* ---- entry --------------------------------------------------------------------------- */

PG_FUNCTION_INFO_V1(ctms_get_updates);
PG_FUNCTION_INFO_V1(ctms_get_updates_parts);

Datum
ctms_get_updates(PG_FUNCTION_ARGS)
{
    UpdatesPage *page = find_page(fcinfo);
    StringInfoData json;

    json_answer_begin(&json);
    do
        write_part(&json, page);
    while (page->written < page->count);
    return json_answer_end(&json);
}

/* Called once for each part. All parts are read with the snapshot of the same statement. */
Datum
ctms_get_updates_parts(PG_FUNCTION_ARGS)
{
    FuncCallContext *calls;
    UpdatesPage *page;
    StringInfoData json;

    if (SRF_IS_FIRSTCALL()) {
        MemoryContext caller;

        calls = SRF_FIRSTCALL_INIT();
        caller = MemoryContextSwitchTo(calls->multi_call_memory_ctx);
        calls->user_fctx = find_page(fcinfo);
        MemoryContextSwitchTo(caller);
    }
    calls = SRF_PERCALL_SETUP();
    page = calls->user_fctx;
    if (calls->call_cntr > 0 && page->written == page->count)
        SRF_RETURN_DONE(calls);
    json_answer_begin(&json);
    write_part(&json, page);
    SRF_RETURN_NEXT(calls, json_answer_end(&json));
}
