/* replica.c: reads from a replica, never older than what was committed before they came. */
#include "rest/replica.h"

#include <stdio.h>
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

static void look_at_replica(exchange *ex);

static void
ask_primary(exchange *ex)
{
    exchange_query(ex, ex->reading.statement, ex->reading.values, ex->reading.callback);
}

/* An answer of the database itself counts; all that is about the replica does not. */
static bool
is_answer(const pg_reply *reply)
{
    static const char *const not_about_it[] = {"08", "25006", "3D", "40", "53", "57", "58"};

    if (reply->status != PG_OK && reply->status != PG_ERROR)
        return false;
    for (size_t i = 0; i < sizeof(not_about_it) / sizeof(not_about_it[0]); i++) {
        if (strncmp(reply->sqlstate, not_about_it[i], strlen(not_about_it[i])) == 0)
            return false;
    }
    return true;
}

static void
on_read(void *arg, const pg_reply *reply)
{
    exchange *ex = arg;

    if (reply->status == PG_ROW) {
        ex->reading.callback(ex, reply);
        return;
    }
    ex->waiting_pg = NULL;
    /* What has begun to reach the client cannot begin anew. */
    if (is_answer(reply) || ex->is_streaming) {
        ex->reading.callback(ex, reply);
        return;
    }
    buf_free(&ex->first_part);
    ask_primary(ex);
}

static void
on_looked(void *arg, const pg_reply *reply)
{
    exchange *ex = arg;
    bool is_there = reply->status == PG_OK && strcmp(PQgetvalue(reply->result, 0, 0), "t") == 0;

    ex->waiting_pg = NULL;
    if (is_there)
        exchange_query_at(ex, ex->app->replica, ex->reading.statement, ex->reading.values, on_read);
    else if (reply->status == PG_OK && ++ex->reading.looks < LOOKS_MAX) {
        look_at_replica(ex);
        return;
    }
    if (ex->waiting_pg == NULL)
        ask_primary(ex);
}

static void
look_at_replica(exchange *ex)
{
    ex->waiting_pg = pg_pool_query(ex->app->replica, &has_replayed,
                                   (const char *const[]){ex->reading.position}, on_looked, ex);
    if (ex->waiting_pg == NULL)
        ask_primary(ex);
}

static void
on_position(void *arg, const pg_reply *reply)
{
    exchange *ex = arg;

    ex->waiting_pg = NULL;
    if (reply->status != PG_OK) {
        ask_primary(ex);
        return;
    }
    snprintf(ex->reading.position, sizeof(ex->reading.position), "%s",
             PQgetvalue(reply->result, 0, 0));
    look_at_replica(ex);
}

bool
replica_query(exchange *ex, const pg_statement *statement, const char *const *values,
              pg_callback callback)
{
    ex->reading.statement = statement;
    ex->reading.callback = callback;
    ex->reading.looks = 0;
    memcpy(ex->reading.values, values, (size_t)statement->parameter_count * sizeof(*values));
    /* Without replicas that answer, do not even ask where the primary is. */
    if (pg_pool_get_stats(ex->app->replica).ready == 0)
        return exchange_query(ex, statement, values, callback);
    return exchange_query(ex, &primary_position, NULL, on_position);
}
