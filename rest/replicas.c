/* replicas.c: the servers of CTMS_DB_READ_URL, and which of them a read goes to; see replicas.h. */
#include "rest/replicas.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/db_url.h"
#include "rest/metrics.h"

/* Weight of the last read in the mean time that reads take. */
#define MEAN_WEIGHT 0.1
/* Added to it, so that servers which are next to us share the reads. */
#define MEAN_LEAST_S 0.00005
/* A server is given up after so many times of that, ... */
#define PATIENCE 8
/* ... but within these times. */
#define PATIENCE_MIN_S 0.05
#define PATIENCE_MAX_S 1.0
/* One that was behind for as long, without an answer in between, is left out. */
#define BEHIND_S 0.01
/* For how long a server is left out, the first time and at most. */
#define BEHIND_PAUSE_S 0.02
#define BEHIND_PAUSE_MAX_S 0.25
#define AWAY_PAUSE_S 0.1
#define AWAY_PAUSE_MAX_S 5.0

struct replica {
    pg_pool *pool;
    char log_prefix[32];
    int read_count;  /* under way */
    double mean_s;   /* the time that a read takes, lately */
    double heard_s;  /* when it last answered one */
    double behind_s; /* since when it has only been behind; 0: it is not */
    double pause_s;  /* the length of its pause, if it has not answered since; 0: it has */
    double pause_ends_s;
    metrics_series *counts[REPLICA_OUTCOMES];
};

struct replicas {
    int count;
    metrics_series *primary_count;
    char *urls[CONFIG_READ_HOSTS_MAX];
    replica servers[CONFIG_READ_HOSTS_MAX];
};

/* ---- choice ---------------------------------------------------------------------- */

/* After a pause one read at a time tries it. */
static bool
is_usable(const replica *one, double now_s)
{
    return pg_pool_is_ready(one->pool) && now_s >= one->pause_ends_s &&
           (one->pause_s <= 0 || one->read_count == 0);
}

/* What is known of its speed is forgotten, so that a slow one is tried again. */
static double
get_cost(const replica *one, double now_s)
{
    return (one->mean_s + MEAN_LEAST_S) * (one->read_count + 1) / (1 + now_s - one->heard_s);
}

replica *
replicas_pick(replicas *all, const replica *last)
{
    double now_s = clock_now_s();
    replica *best = NULL, *fallback = NULL;

    for (int i = 0; i < all->count; i++) {
        replica *one = &all->servers[i];

        if (!is_usable(one, now_s))
            continue;
        if (one == last)
            fallback = one;
        else if (best == NULL || get_cost(one, now_s) < get_cost(best, now_s))
            best = one;
    }
    return best != NULL ? best : fallback;
}

void
replicas_note_primary(replicas *all)
{
    metrics_add(all->primary_count, 1);
}

/* ---- reads ----------------------------------------------------------------------- */

pg_request *
replicas_begin_read(replica *one, const pg_guard *guard, const pg_statement *statement,
                    const char *const *values, bool is_streamed, pg_callback callback, void *arg)
{
    pg_request *request =
        pg_pool_read(one->pool, guard, statement, values, is_streamed, callback, arg);

    one->read_count++;
    if (request == NULL)
        replicas_end_read(one, REPLICA_AWAY, is_streamed, clock_now_s());
    return request;
}

/* Reads that were under way when it was paused say nothing new. */
static void
leave_out(replica *one, double first_s, double most_s, double now_s)
{
    if (now_s < one->pause_ends_s)
        return;
    one->pause_s = one->pause_s > 0 ? 2 * one->pause_s : first_s;
    if (one->pause_s > most_s)
        one->pause_s = most_s;
    one->pause_ends_s = now_s + one->pause_s;
}

static void
trust(replica *one, bool is_streamed, double took_s, double now_s)
{
    one->heard_s = now_s;
    one->behind_s = one->pause_s = one->pause_ends_s = 0;
    if (!is_streamed)
        one->mean_s += MEAN_WEIGHT * (took_s - one->mean_s);
}

/* What is behind for the time of a round trip only has as much as the network allows. */
static void
note_behind(replica *one, double now_s)
{
    one->heard_s = now_s;
    if (one->behind_s <= 0)
        one->behind_s = now_s;
    if (one->pause_s > 0 || one->behind_s + BEHIND_S < now_s)
        leave_out(one, BEHIND_PAUSE_S, BEHIND_PAUSE_MAX_S, now_s);
}

void
replicas_end_read(replica *one, replica_outcome outcome, bool is_streamed, double began_s)
{
    double now_s = clock_now_s();

    one->read_count--;
    if (outcome < REPLICA_OUTCOMES)
        metrics_add(one->counts[outcome], 1);
    switch (outcome) {
    case REPLICA_ANSWERED: trust(one, is_streamed, now_s - began_s, now_s); break;
    case REPLICA_BEHIND: note_behind(one, now_s); break;
    case REPLICA_SLOW:
        /* If it has answered others meanwhile, only this statement takes long. */
        if (one->heard_s > began_s)
            break;
        /* fall through */
    case REPLICA_AWAY: leave_out(one, AWAY_PAUSE_S, AWAY_PAUSE_MAX_S, now_s); break;
    case REPLICA_OUTCOMES:
    case REPLICA_ABANDONED: break;
    }
}

void
replicas_note_heard(replica *one)
{
    one->heard_s = clock_now_s();
}

double
replicas_get_patience_s(const replica *one)
{
    double patience_s = PATIENCE * one->mean_s;

    if (patience_s > PATIENCE_MAX_S)
        return PATIENCE_MAX_S;
    return patience_s > PATIENCE_MIN_S ? patience_s : PATIENCE_MIN_S;
}

/* ---- life -------------------------------------------------------------------------- */

static bool
connect_to(replica *one, int number, struct event_base *base, const pg_pool_options *common,
           const char *url, char *message, size_t message_size)
{
    pg_pool_options options = *common;

    snprintf(one->log_prefix, sizeof(one->log_prefix), "replica %d: ", number);
    options.url = url;
    options.log_arg = one->log_prefix;
    one->heard_s = clock_now_s();
    one->pool = pg_pool_new(base, &options, message, message_size);
    return one->pool != NULL;
}

static void
prepare_counts(replica *one, int number, metrics *m)
{
    static const char *const names[REPLICA_OUTCOMES] = {
        [REPLICA_ANSWERED] = "answered",
        [REPLICA_BEHIND] = "behind",
        [REPLICA_AWAY] = "away",
        [REPLICA_SLOW] = "slow",
    };
    char server_name[16];

    snprintf(server_name, sizeof(server_name), "%d", number);
    for (int i = 0; i < REPLICA_OUTCOMES; i++)
        one->counts[i] = rest_metrics_get_reads(m, server_name, names[i]);
}

replicas *
replicas_new(struct event_base *base, const char *url, const pg_pool_options *options, metrics *m,
             char *message, size_t message_size)
{
    replicas *all = xcalloc(1, sizeof(*all));

    all->primary_count = rest_metrics_get_reads(m, "primary", "answered");
    /* There are not more: the settings are checked. */
    all->count = db_url_split(url, all->urls, CONFIG_READ_HOSTS_MAX);
    for (int i = 0; i < all->count; i++) {
        prepare_counts(&all->servers[i], i + 1, m);
        if (!connect_to(&all->servers[i], i + 1, base, options, all->urls[i], message,
                        message_size)) {
            replicas_free(all);
            return NULL;
        }
    }
    return all;
}

void
replicas_free(replicas *all)
{
    if (all == NULL)
        return;
    for (int i = 0; i < all->count; i++) {
        pg_pool_free(all->servers[i].pool);
        free(all->urls[i]);
    }
    free(all);
}
