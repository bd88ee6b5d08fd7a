/*
 * pg_pool_statement.c: prepared statements of one connection, and what a result must look like.
 *
 * A pooler may give each transaction another session of the server, and one session to several
 * programs. So a prepared statement is named after its text: who finds a statement of that name,
 * whoever prepared it, finds the right one. When the session turns out to be another one (26000,
 * no such statement; 42P05, somebody prepared it already), the connection does without prepared
 * statements from then on: each request brings its text along, within one transaction. That is
 * right with every pooler, only slower.
 */
#include <stdio.h>
#include <string.h>

#include "common/hash.h"
#include "common/pg_pool_internal.h"

/* Two hashes of 64 bits are one of 128. */
#define SECOND_SEED 0x9e3779b97f4a7c15ULL

bool
pg_pool_has_sqlstate(const PGresult *error, const char *prefix)
{
    const char *own = PQresultErrorField(error, PG_DIAG_SQLSTATE);

    return own != NULL && strncmp(own, prefix, strlen(prefix)) == 0;
}

/* ---- prepared statements ----------------------------------------------------- */

/* Two statements of the same text are the same to the server. */
static struct prepared_statement *
find(connection *conn, const pg_statement *statement)
{
    for (int i = 0; i < conn->statement_count; i++) {
        const pg_statement *known = conn->statements[i].statement;

        if (known == statement || strcmp(known->sql, statement->sql) == 0)
            return &conn->statements[i];
    }
    return NULL;
}

static void
forget(connection *conn, const pg_statement *statement)
{
    struct prepared_statement *prepared = find(conn, statement);

    if (prepared != NULL)
        *prepared = conn->statements[--conn->statement_count];
}

void
pg_pool_statement_forget_unprepared(connection *conn, const pg_request *request)
{
    if (request->is_preparing_guard)
        forget(conn, request->guard);
    if (request->is_preparing)
        forget(conn, request->statement);
}

static bool
is_unusable(connection *conn, const pg_statement *statement)
{
    const struct prepared_statement *prepared = find(conn, statement);

    return prepared != NULL && prepared->is_unusable;
}

/* Has it prepared if it is not. Returns NULL on failure. */
static const struct prepared_statement *
prepare(connection *conn, const pg_statement *statement, bool *is_preparing)
{
    struct prepared_statement *prepared = find(conn, statement);

    if (prepared != NULL)
        return prepared;

    if (conn->statement_count == STATEMENTS_MAX)
        conn->statement_count = 0;
    prepared = &conn->statements[conn->statement_count];
    prepared->statement = statement;
    prepared->is_unusable = false;
    snprintf(prepared->name, sizeof(prepared->name), "ctms_%016llx%016llx",
             (unsigned long long)hash_string(0, statement->sql),
             (unsigned long long)hash_string(SECOND_SEED, statement->sql));
    if (!PQsendPrepare(conn->pg, prepared->name, statement->sql, 0, NULL))
        return NULL;
    *is_preparing = true;
    conn->statement_count++;
    return prepared;
}

/* prepared: NULL to send the text along. */
static bool
execute(connection *conn, const pg_statement *statement, const struct prepared_statement *prepared,
        const char *const *values)
{
    if (prepared == NULL)
        return PQsendQueryParams(conn->pg, statement->sql, statement->parameter_count, NULL, values,
                                 NULL, NULL, 0) == 1;
    return PQsendQueryPrepared(conn->pg, prepared->name, statement->parameter_count, values, NULL,
                               NULL, 0) == 1;
}

/* The rows of a streamed request may take long, so the server tells at once that its guard holds.
 */
static bool
send_guard(connection *conn, pg_request *request, const struct prepared_statement *prepared)
{
    request->is_guarding = true;
    return execute(conn, request->guard, prepared,
                   &request->values[request->statement->parameter_count]) &&
           (!request->is_streamed || PQsendFlushRequest(conn->pg));
}

/* All is prepared before the guard, because what comes after a guard that is refused is skipped. */
bool
pg_pool_statement_send(connection *conn, pg_request *request)
{
    const struct prepared_statement *guard = NULL, *prepared = NULL;

    request->is_unnamed |= conn->is_unnamed || is_unusable(conn, request->statement) ||
                           (request->guard != NULL && is_unusable(conn, request->guard));
    if (!request->is_unnamed) {
        if (request->guard != NULL) {
            guard = prepare(conn, request->guard, &request->is_preparing_guard);
            if (guard == NULL)
                return false;
        }
        prepared = prepare(conn, request->statement, &request->is_preparing);
        if (prepared == NULL)
            return false;
    }
    return (request->guard == NULL || send_guard(conn, request, guard)) &&
           execute(conn, request->statement, prepared, request->values);
}

bool
pg_pool_statement_can_do_without(connection *conn, pg_request *request)
{
    const char *message = PQresultErrorField(request->error, PG_DIAG_MESSAGE_PRIMARY);
    struct prepared_statement *prepared;

    if (request->is_unnamed)
        return false;
    if (pg_pool_has_sqlstate(request->error, "26000") ||
        pg_pool_has_sqlstate(request->error, "42P05")) {
        conn->is_unnamed = true;
    } else if (pg_pool_has_sqlstate(request->error, "0A000") && message != NULL &&
               strstr(message, "cached plan") != NULL) {
        /* The type of a result has changed. A statement of this text is kept by its session, which
         * need not be ours alone, so it cannot be prepared again. */
        prepared = find(conn, request->is_guard_refused ? request->guard : request->statement);
        if (prepared != NULL)
            prepared->is_unusable = true;
    } else {
        return false;
    }
    request->is_unnamed = true;
    return true;
}

/* ---- results ------------------------------------------------------------------- */

/* True if the names of the columns are those of the list. */
static bool
has_columns(const PGresult *result, const char *list)
{
    int count = PQnfields(result);

    for (int i = 0; i < count; i++) {
        const char *name = PQfname(result, i);
        size_t length = strlen(name);

        if (strchr(name, ',') != NULL || strncmp(list, name, length) != 0 ||
            list[length] != (i + 1 < count ? ',' : '\0'))
            return false;
        list += length + 1;
    }
    return count > 0;
}

bool
pg_pool_statement_fits(const pg_request *request, const PGresult *result, char *why, size_t size)
{
    const pg_statement *statement = request->is_guarding ? request->guard : request->statement;
    int rows = PQntuples(result);

    if (!has_columns(result, statement->columns)) {
        snprintf(why, size,
                 "the result of \"%.100s\" has %d columns that begin with \"%.60s\" instead of"
                 " \"%.60s\": the extension is of another version, or a pooler mixes up sessions",
                 statement->sql, PQnfields(result), PQnfields(result) > 0 ? PQfname(result, 0) : "",
                 statement->columns);
        return false;
    }
    if (statement->rows == PG_ONE_ROW && rows != 1 &&
        (request->is_guarding || !request->is_streamed)) {
        snprintf(why, size, "the result of \"%.100s\" has %d rows instead of one", statement->sql,
                 rows);
        return false;
    }
    return true;
}
