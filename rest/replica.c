/* replica.c: reads from a replica, never older than what was committed before they came. */
#include "rest/replica.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Looks at the replica, one after the other, before the primary is asked. */
#define LOOKS_MAX 3

/* What was committed is in there, whether it has been written to disk or not. */
static const pg_statement primary_position = {"SELECT pg_catalog.pg_current_wal_insert_lsn()", 0,
                                              true};

/* Null on a server that is a replica no more. Its snapshots from now on show all up to there. */
static const pg_statement has_replayed = {
    "SELECT pg_catalog.pg_last_wal_replay_lsn() OPERATOR(pg_catalog.>=) $1::pg_catalog.pg_lsn", 1,
    true};

/* A statement that is to be read from the replica, once that is far enough. */
typedef struct reading {
    exchange *ex;
    pg_request *request; /* the one of several that is being waited for */
    const pg_statement *statement;
    bool is_streamed;
    pg_callback callback;
    char position[32]; /* of the primary, as text */
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
    if (request != NULL)
        exchange_wait(r->ex, r, abandon_reading);
    return request != NULL;
}

/* The reading is over. */
static void
ask_primary(reading *r)
{
    if (r->is_streamed)
        exchange_query_rows(r->ex, r->statement, r->values, r->callback);
    else
        exchange_query(r->ex, r->statement, r->values, r->callback);
    free(r);
}

/* An answer of the database itself counts; all that is about the replica does not. */
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
    /* What has begun to reach the client cannot begin anew. */
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
    /* Without replicas that answer, do not even ask where the primary is. */
    if (pg_pool_get_stats(ex->app->replica).ready == 0 ||
        !wait_for(r, pg_pool_query(ex->app->pool, &primary_position, NULL, on_position, r)))
        ask_primary(r);
}
