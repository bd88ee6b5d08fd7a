/* pg_session.c: what the pool needs of a session of PostgreSQL; see pg_session.h. */
#include "common/pg_session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"

/*
 * A pooler gives its clients other process ids than PostgreSQL's, so ours differs from the server's
 * if there is one. In turn:
 *
 * - Each request is a transaction of its own. One that waited for a lock must then see what others
 *   committed before it. A database or role whose default isolation level is higher would prevent
 *   that, so the level is set. reset_val is that of sessions for which nobody has set it.
 * - A session that may be shared keeps its time limit, because `ctms` has longer ones. The pool
 *   itself cancels what takes too long.
 * - A statement whose client is gone ends, also while it waits for a lock.
 * - Parameters are addresses and contacts: they do not belong into the server's log. Not everybody
 *   may set the second of these settings; see docs/security.md.
 *
 * A parameter that is null leaves its setting alone.
 */
const pg_statement pg_session_set_up = {
    .sql = "SELECT pg_catalog.current_setting('synchronous_standby_names') <> '' AS has_standbys,"
           " p.pid <> pg_catalog.pg_backend_pid() AS is_pooled,"
           " p.pid <> pg_catalog.pg_backend_pid() AND EXISTS (SELECT FROM pg_catalog.pg_settings s"
           " WHERE s.name = 'default_transaction_isolation' AND s.reset_val <> 'read committed')"
           " AS is_isolated,"
           " CASE WHEN p.isolation IS NOT NULL THEN"
           " pg_catalog.set_config('default_transaction_isolation', p.isolation, false) END AS a,"
           " CASE WHEN p.pid = pg_catalog.pg_backend_pid() AND p.timeout IS NOT NULL THEN"
           " pg_catalog.set_config('statement_timeout', p.timeout, false) END AS b,"
           " CASE WHEN p.check_interval IS NOT NULL THEN"
           " pg_catalog.set_config('client_connection_check_interval', p.check_interval, false) "
           "END AS c,"
           " pg_catalog.set_config('log_parameter_max_length_on_error', '0', false) AS d,"
           " CASE WHEN pg_catalog.has_parameter_privilege('log_parameter_max_length', 'SET')"
           " THEN pg_catalog.set_config('log_parameter_max_length', '0', false) END AS e"
           " FROM (SELECT $1::pg_catalog.int4, $2::pg_catalog.text, $3::pg_catalog.text,"
           " $4::pg_catalog.text) AS p (pid, isolation, timeout, check_interval)",
    .parameter_count = PG_SESSION_PARAMETERS,
    .columns = "has_standbys,is_pooled,is_isolated,a,b,c,d,e",
    .rows = PG_ONE_ROW,
};

/* The options that the URL or the environment has for the server; free with free(). */
static char *
get_options(PGconn *conn)
{
    PQconninfoOption *all = PQconninfo(conn);
    char *options = NULL;

    for (PQconninfoOption *option = all; option != NULL && option->keyword != NULL; option++) {
        if (strcmp(option->keyword, "options") == 0 && option->val != NULL)
            options = xstrdup(option->val);
    }
    PQconninfoFree(all);
    return options;
}

void
pg_session_fill(pg_session_values *values, PGconn *conn, double timeout_s)
{
    static const char *const names[] = {"default_transaction_isolation", "statement_timeout",
                                        "client_connection_check_interval"};
    const char *const wanted[] = {"read committed", values->timeout, "2s"};
    char *options = get_options(conn);

    snprintf(values->pid, sizeof(values->pid), "%d", PQbackendPID(conn));
    snprintf(values->timeout, sizeof(values->timeout), "%.0f", timeout_s * 1000);
    values->values[0] = values->pid;
    for (int i = 0; i < 3; i++)
        values->values[i + 1] = options && strstr(options, names[i]) ? NULL : wanted[i];
    free(options);
}

pg_session
pg_session_read(const PGresult *result)
{
    return (pg_session){.has_standbys = PQgetvalue(result, 0, 0)[0] == 't',
                        .is_pooled = PQgetvalue(result, 0, 1)[0] == 't',
                        .is_isolated = PQgetvalue(result, 0, 2)[0] == 't'};
}
