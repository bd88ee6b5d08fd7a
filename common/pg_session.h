/*
 * pg_session.h: what the pool needs of a session of PostgreSQL: the statement that asks for it, and
 * what its result says. Used by the pool for each new connection.
 *
 * Nothing is asked for while connecting: a pooler refuses parameters that it does not know. Through
 * a pooler the session may be shared with others and may be another one for the next transaction.
 * So only what harms nobody is set there.
 */
#ifndef CTMS_COMMON_PG_SESSION_H
#define CTMS_COMMON_PG_SESSION_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/pg_pool.h"

#define PG_SESSION_PARAMETERS 4

/* What to log when is_isolated. */
#define PG_SESSION_ISOLATION_ADVICE                                                                \
    "default_transaction_isolation is not \"read committed\" for this role, and a pooler may give" \
    " transactions to sessions where ctms did not set it: ALTER ROLE ... SET"                      \
    " default_transaction_isolation = 'read committed'"

/* Room for the values of the parameters. */
typedef struct pg_session_values {
    char pid[16];
    char timeout[32];
    const char *values[PG_SESSION_PARAMETERS];
} pg_session_values;

/* What was found out about the session. */
typedef struct pg_session {
    bool has_standbys; /* commits wait for standbys */
    bool is_pooled;    /* there is a pooler */
    /* There is one, and other sessions of this role have an isolation level that does not let
     * a request see what was committed while it waited for a lock. */
    bool is_isolated;
} pg_session;

extern const pg_statement pg_session_set_up;

/* timeout_s: the statement_timeout of a session that is ours alone. Settings that the URL has
 * options for are left alone. */
void pg_session_fill(pg_session_values *values, PGconn *conn, double timeout_s);
/* result: of PG_OK. */
pg_session pg_session_read(const PGresult *result);

#endif
