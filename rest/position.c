/* position.c: where the primary is in its write-ahead log; see position.h. */
#include "rest/position.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/clock.h"

static const pg_statement primary_position = {
    .sql = "SELECT timeline, lsn, pg_catalog.pg_current_snapshot() AS snapshot, system_identifier"
           " FROM ctms.wal_position()",
    .is_read_only = true,
    .columns = "timeline,lsn,snapshot,system_identifier",
};

struct position_wait {
    position_callback callback; /* NULL: abandoned */
    void *arg;
    position_wait *next;
};

struct position_source {
    pg_pool *primary;
    double timeout_s;
    bool is_asking;
    position_wait *asked; /* for them the statement under way was sent */
    position_wait *later; /* they came afterwards */
};

static void
tell(position_wait *waits, const position *at)
{
    while (waits != NULL) {
        position_wait *wait = waits;

        waits = wait->next;
        if (wait->callback != NULL)
            wait->callback(wait->arg, at);
        free(wait);
    }
}

static void on_position(void *arg, const pg_reply *reply);

/* Asks for those who wait. Returns false if the primary is away. */
static bool
ask(position_source *source)
{
    pg_request *request =
        pg_pool_query(source->primary, &primary_position, NULL, on_position, source);

    source->is_asking = request != NULL;
    if (!source->is_asking)
        return false;
    pg_request_end_by(request, clock_now_s() + source->timeout_s);
    source->asked = source->later;
    source->later = NULL;
    return true;
}

static position_wait *
take(position_wait **list)
{
    position_wait *waits = *list;

    *list = NULL;
    return waits;
}

static void
read_position(const PGresult *result, position *at)
{
    const char *snapshot = PQgetvalue(result, 0, 2);

    snprintf(at->timeline, sizeof(at->timeline), "%s", PQgetvalue(result, 0, 0));
    snprintf(at->lsn, sizeof(at->lsn), "%s", PQgetvalue(result, 0, 1));
    snprintf(at->snapshot, sizeof(at->snapshot), "%s",
             strlen(snapshot) < sizeof(at->snapshot) ? snapshot : "");
    snprintf(at->cluster, sizeof(at->cluster), "%s", PQgetvalue(result, 0, 3));
}

/* Without an answer nobody waits for the next one: that might take as long again. */
static void
on_position(void *arg, const pg_reply *reply)
{
    position_source *source = arg;
    position_wait *answered = take(&source->asked);
    bool is_known = reply->status == PG_OK;
    position at;

    source->is_asking = false;
    if (is_known)
        read_position(reply->result, &at);
    if (!is_known || (source->later != NULL && !ask(source)))
        tell(take(&source->later), NULL);
    tell(answered, is_known ? &at : NULL);
}

position_source *
position_source_new(pg_pool *primary, double timeout_s)
{
    position_source *source = xcalloc(1, sizeof(*source));

    source->primary = primary;
    source->timeout_s = timeout_s;
    return source;
}

static void
free_all(position_wait *waits)
{
    while (waits != NULL) {
        position_wait *wait = waits;

        waits = wait->next;
        free(wait);
    }
}

void
position_source_free(position_source *source)
{
    if (source == NULL)
        return;
    free_all(source->asked);
    free_all(source->later);
    free(source);
}

position_wait *
position_ask(position_source *source, position_callback callback, void *arg)
{
    position_wait *wait = xcalloc(1, sizeof(*wait));

    wait->callback = callback;
    wait->arg = arg;
    wait->next = source->later;
    source->later = wait;
    if (source->is_asking || ask(source))
        return wait;
    source->later = wait->next;
    free(wait);
    return NULL;
}

void
position_abandon(position_wait *wait)
{
    wait->callback = NULL;
}
