/*
 * replica.c: reads from a replica, but never an older state than the client may have seen; see
 * replica.h.
 */
#include "rest/replica.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How often the replica is asked before the primary answers. */
#define LOOKS_MAX 3

/* Everything that was committed is before this position, whether it has been flushed or not. */
static const pg_statement primary_position = {
    .sql = "SELECT pg_catalog.pg_current_wal_insert_lsn()",
    .is_read_only = true,
    .columns = "pg_current_wal_insert_lsn",
};

/* Null on a server that is no longer a replica. When it is true, every later snapshot of the
 * replica shows everything up to that position. */
static const pg_statement has_replayed = {
    .sql =
        "SELECT pg_catalog.pg_last_wal_replay_lsn() OPERATOR(pg_catalog.>=) $1::pg_catalog.pg_lsn"
        " AS has_replayed",
    .parameter_count = 1,
    .is_read_only = true,
    .columns = "has_replayed",
};

/* A statement that will be sent to the replica as soon as that has replayed enough. */
typedef struct reading {
    exchange *ex;
    pg_request *request; /* the request that is waited for now */
    const pg_statement *statement;
    bool is_streamed;
    pg_callback callback;
    char position[32]; /* position of the primary, as text */
    int looks;
    const char *values[];
} reading;

static void look_at_replica(reading *r);

static void
abandon_reading(void *awaited)
{
    reading *r = awaited;

    pg_request_abandon(r->request);
    free(r);
}

/* Returns false when there is no request to wait for. */
static bool
wait_for(reading *r, pg_request *request)
{
    r->request = request;
    if (request == NULL)
        return false;
    pg_request_end_by(request, exchange_database_deadline_s(r->ex));
    exchange_wait(r->ex, r, abandon_reading);
    return true;
}

/* Gives up on the replica; this ends the reading. */
static void
ask_primary(reading *r)
{
    if (r->is_streamed)
        exchange_query_rows(r->ex, r->statement, r->values, r->callback);
    else
        exchange_query(r->ex, r->statement, r->values, r->callback);
    free(r);
}

/* True for an answer to the statement; false for errors that come from the state of the replica. */
static bool
is_answer(const pg_reply *reply)
{
    static const char *const not_about_it[] = {"08", "25006", "3D", "40", "53", "57", "58"};

    if (reply->status != PG_OK && reply->status != PG_ERROR)
        return false;
    for (size_t i = 0; i < sizeof(not_about_it) / sizeof(not_about_it[0]); i++) {
        if (pg_reply_has_sqlstate(reply, not_about_it[i]))
            return false;
    }
    return true;
}

static void
on_read(void *arg, const pg_reply *reply)
{
    reading *r = arg;
    exchange *ex = r->ex;

    if (reply->status == PG_ROW) {
        r->callback(ex, reply);
        return;
    }
    exchange_end_wait(ex);
    /* An answer that the client has begun to receive cannot be started again. */
    if (is_answer(reply) || ex->is_streaming) {
        pg_callback callback = r->callback;

        free(r);
        callback(ex, reply);
        return;
    }
    buf_free(&ex->first_part);
    ask_primary(r);
}

static pg_request *
ask_replica(reading *r)
{
    pg_pool *pool = r->ex->app->replica;

    return r->is_streamed ? pg_pool_stream(pool, r->statement, r->values, on_read, r)
                          : pg_pool_query(pool, r->statement, r->values, on_read, r);
}

static void
on_looked(void *arg, const pg_reply *reply)
{
    reading *r = arg;
    bool is_there = reply->status == PG_OK && strcmp(PQgetvalue(reply->result, 0, 0), "t") == 0;

    exchange_end_wait(r->ex);
    if (!is_there && reply->status == PG_OK && ++r->looks < LOOKS_MAX)
        look_at_replica(r);
    else if (!is_there || !wait_for(r, ask_replica(r)))
        ask_primary(r);
}

static void
look_at_replica(reading *r)
{
    const char *const values[] = {r->position};

    if (!wait_for(r, pg_pool_query(r->ex->app->replica, &has_replayed, values, on_looked, r)))
        ask_primary(r);
}

static void
on_position(void *arg, const pg_reply *reply)
{
    reading *r = arg;

    exchange_end_wait(r->ex);
    if (reply->status != PG_OK) {
        ask_primary(r);
        return;
    }
    snprintf(r->position, sizeof(r->position), "%s", PQgetvalue(reply->result, 0, 0));
    look_at_replica(r);
}

void
replica_query(exchange *ex, const pg_statement *statement, const char *const *values,
              bool is_streamed, pg_callback callback)
{
    size_t size = (size_t)statement->parameter_count * sizeof(*values);
    reading *r = xcalloc(1, sizeof(*r) + size);

    r->ex = ex;
    r->statement = statement;
    r->is_streamed = is_streamed;
    r->callback = callback;
    memcpy(r->values, values, size);
    /* If no replica is connected, do not even ask for the position of the primary. */
    if (pg_pool_get_stats(ex->app->replica).ready == 0 ||
        !wait_for(r, pg_pool_query(ex->app->pool, &primary_position, NULL, on_position, r)))
        ask_primary(r);
}
