/*
 * worker.c: one server process: makes its event loop, pools, server and signals, and runs until it
 * has drained. See worker.h.
 */
#include "rest/worker.h"

#include <jansson.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "common/sentry.h"
#include "rest/access_log.h"
#include "rest/app.h"
#include "rest/dispatch.h"
#include "rest/exchange.h"
#include "rest/metrics.h"
#include "rest/pubsub.h"
#include "rest/routes.h"
#include "rest/version.h"

#define LOG_TYPE "ctms.rest"
#define LOG_FLUSH_MS 20
/* How long an idle connection may still send a request while the process drains. */
#define IDLE_AT_STOP_S 1.0
#define IDLE_AT_REPLACEMENT_S 10.0
/* After this time a worker counts as ready even without a database: it answers 503. */
#define READY_WAIT_S 2.0
/* How much later than its token a client may ask for the next one to be still known. */
#define KNOWN_SECRET_SLACK_S 600.0
/* Pub/Sub encodes bodies in base64 and JSON, and may put several into one. */
#define LARGE_BODY_FACTOR 16

static void
log_pool(void *arg, log_level level, const char *message)
{
    log_message(level, LOG_TYPE, "%s%s", (const char *)arg, message);
}

/* ---- changes of clients ----------------------------------------------------- */

static void
on_listening(void *arg)
{
    app *a = arg;

    if (a->is_deaf)
        log_message(LOG_LEVEL_INFO, LOG_TYPE, "changes of API clients are announced again");
    a->is_deaf = false;
    auth_set_listening(a->auth, true);
}

static void
on_notified(void *arg, const char *channel)
{
    const app *a = arg;

    (void)channel;
    auth_forget_clients(a->auth);
}

static void
on_deaf(void *arg, const char *message)
{
    app *a = arg;

    if (!a->is_deaf)
        log_message(LOG_LEVEL_WARNING, LOG_TYPE,
                    "changes of API clients are not announced, so clients are looked up every"
                    " second: %s",
                    message);
    a->is_deaf = true;
    auth_set_listening(a->auth, false);
}

/* ---- the server's events ---------------------------------------------------------- */

static size_t
body_max(void *arg, const http_request *request)
{
    const app *a = arg;
    const route *found = NULL;
    const char *path, *query, *value;
    size_t path_length, value_length;

    uri_split(request->target, &path, &path_length, &query);
    if (routes_find(request->method, path, path_length, &found, &value, &value_length) ==
            ROUTES_FOUND &&
        found->has_large_body)
        return a->body_max * LARGE_BODY_FACTOR;
    return a->body_max;
}

static void
on_refused(void *arg, const server_call *call, int status, const char *detail)
{
    app *a = arg;

    rest_metrics_count_refused(a->metrics, status);
    access_log_write_refused(call, status, detail);
}

static void
on_cut_off(void *arg, const server_call *call, const char *why)
{
    (void)arg;
    access_log_write_cut_off(call, why);
}

/* ---- signals and time ----------------------------------------------------------------- */

static void
on_drained(void *arg)
{
    app *a = arg;

    event_base_loopbreak(a->base);
}

static void
on_stop(evutil_socket_t signal_number, short what, void *arg)
{
    app *a = arg;

    (void)what;
    log_message(LOG_LEVEL_INFO, LOG_TYPE, "stopping after signal %d, with %d connections",
                (int)signal_number, server_connection_count(a->server));
    server_drain(a->server, signal_number == SIGUSR1 ? IDLE_AT_REPLACEMENT_S : IDLE_AT_STOP_S,
                 on_drained, a);
}

/* Closing the pipe tells the supervisor that we are ready. */
static void
say_ready(app *a)
{
    if (a->ready_fd >= 0)
        close(a->ready_fd);
    a->ready_fd = -1;
}

static void
on_flush_time(evutil_socket_t fd, short what, void *arg)
{
    app *a = arg;

    (void)fd;
    (void)what;
    log_flush();
    a->age_s += LOG_FLUSH_MS / 1000.0;
    if (a->ready_fd >= 0 && (pg_pool_is_ready(a->pool) || a->age_s > READY_WAIT_S))
        say_ready(a);
}

/* ---- life --------------------------------------------------------------------------------- */

static bool
connect_pools(app *a)
{
    const char *read_url = config_string(a->settings, "CTMS_DB_READ_URL");
    pg_pool_options options = {
        .url = config_string(a->settings, "CTMS_DB_URL"),
        .application = "ctms-rest",
        .connections = (int)config_int(a->settings, "CTMS_DB_MAX_CONNECTIONS"),
        .does_reads_first = true,
        .queue_max = (int)config_int(a->settings, "CTMS_DB_MAX_QUEUE"),
        .timeout_s = config_real(a->settings, "CTMS_DB_TIMEOUT_S"),
        .log = log_pool,
        .log_arg = (void *)(uintptr_t) "",
    };
    char message[512];

    a->pool = pg_pool_new(a->base, &options, message, sizeof(message));
    if (a->pool == NULL) {
        log_message(LOG_LEVEL_CRITICAL, LOG_TYPE, "CTMS_DB_URL: %s", message);
        return false;
    }
    if (read_url == NULL)
        return true;
    a->replicas = replicas_new(a->base, read_url, &options, a->metrics, message, sizeof(message));
    if (a->replicas == NULL) {
        log_message(LOG_LEVEL_CRITICAL, LOG_TYPE, "CTMS_DB_READ_URL: %s", message);
        return false;
    }
    a->position = position_source_new(a->pool, a->database_timeout_s / 4);
    return true;
}

static bool
connect_database(app *a)
{
    static const char *const channels[] = {"ctms_api_client", NULL};
    static const pg_listener_events events = {on_listening, on_notified, on_deaf};
    const char *listen_url = config_string(a->settings, "CTMS_LISTEN_DB_URL");
    pg_listener_options options = {
        .url = listen_url ? listen_url : config_string(a->settings, "CTMS_DB_URL"),
        .application = "ctms-rest",
        .channels = channels,
    };
    char message[512];

    a->database_timeout_s = config_real(a->settings, "CTMS_DB_TIMEOUT_S");
    if (!connect_pools(a))
        return false;
    a->auth = auth_new(a->pool, config_string(a->settings, "CTMS_SECRET_KEY"));
    if (a->auth == NULL) {
        log_message(LOG_LEVEL_CRITICAL, LOG_TYPE, "CTMS_SECRET_KEY cannot be used as a key");
        return false;
    }
    options.pool = a->pool;
    a->listener = pg_listener_new(a->base, &options, &events, a, message, sizeof(message));
    if (a->listener == NULL)
        log_message(LOG_LEVEL_CRITICAL, LOG_TYPE, "CTMS_LISTEN_DB_URL: %s", message);
    return a->listener != NULL;
}

static void
add_server(app *a, int listening_fd)
{
    static const server_events events = {dispatch_request, exchange_overdue, exchange_gone,
                                         on_cut_off,       on_refused,       body_max};
    long long connections_max = config_int(a->settings, "CTMS_MAX_CONNECTIONS");
    long long per_peer =
        connections_max * config_int(a->settings, "CTMS_MAX_ADDRESS_PERCENT") / 100;
    server_options options = {
        .connections_max = (int)connections_max,
        .connections_per_peer_max = per_peer > 0 ? (int)per_peer : 1,
        .buffered_max = (size_t)config_int(a->settings, "CTMS_MAX_BUFFERED_BYTES"),
        .head_timeout_s = config_real(a->settings, "CTMS_HEAD_TIMEOUT_S"),
        .request_timeout_s = config_real(a->settings, "CTMS_REQUEST_TIMEOUT_S"),
        .keepalive_timeout_s = config_real(a->settings, "CTMS_KEEPALIVE_TIMEOUT_S"),
    };

    a->server = server_new(a->base, listening_fd, &options, &events, a);
}

static char *
without_slash(const char *url)
{
    size_t length = strlen(url);

    while (length > 0 && url[length - 1] == '/')
        length--;
    return xstrndup(url, length);
}

static void
serve(app *a, int listening_fd)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGUSR1};
    struct timeval flush_interval = {.tv_usec = LOG_FLUSH_MS * 1000};
    struct event *flush = event_new(a->base, -1, EV_PERSIST, on_flush_time, a);
    struct event *signals[3];

    for (int i = 0; i < 3; i++) {
        signals[i] = evsignal_new(a->base, numbers[i], on_stop, a);
        event_add(signals[i], NULL);
    }
    event_add(flush, &flush_interval);
    a->secrets = secret_checker_new(a->base, (int)config_int(a->settings, "CTMS_ARGON2_THREADS"),
                                    (double)a->token_lifetime_s + KNOWN_SECRET_SLACK_S);
    a->secret_costs = secret_costs_new(config_string(a->settings, "CTMS_SECRET_KEY"));
    a->http = http_client_new(a->base, "ctms-rest");
    a->pubsub = pubsub_new(a->http, a->settings, a->server_prefix);
    add_server(a, listening_fd);
    event_base_dispatch(a->base);
    server_free(a->server);
    http_client_free(a->http);
    pubsub_free(a->pubsub);
    secret_checker_free(a->secrets);
    secret_costs_free(a->secret_costs);
    for (int i = 0; i < 3; i++)
        event_free(signals[i]);
    event_free(flush);
}

static void
open_sentry(const app *a, int previous_status)
{
    sentry_options options = {.dsn = config_string(a->settings, "SENTRY_DSN"),
                              .program = "ctms-rest",
                              .is_debug = config_bool(a->settings, "CTMS_SENTRY_DEBUG")};
    bool is_signal = WIFSIGNALED(previous_status);
    char message[128], how[32];

    if (!sentry_open(a->base, &options, message, sizeof(message)))
        log_message(LOG_LEVEL_ERROR, LOG_TYPE, "%s", message);
    if (previous_status == 0)
        return;
    snprintf(how, sizeof(how), "%s %d", is_signal ? "signal" : "status",
             is_signal ? WTERMSIG(previous_status) : WEXITSTATUS(previous_status));
    sentry_report(LOG_LEVEL_CRITICAL, LOG_TYPE, "worker ended unexpectedly",
                  &(sentry_tag){"how", how}, 1);
}

int
worker_run(const config *settings, metrics *m, int listening_fd, int ready_fd, int previous_status)
{
    app a = {.settings = settings,
             .routes = routes_table,
             .route_count = routes_count,
             .metrics = m,
             .ready_fd = ready_fd};
    int status = WORKER_CANNOT_RUN;

    a.base = event_base_new();
    /* What comes before all other events has 0 (server_new()), the others have 1. */
    event_base_priority_init(a.base, 2);
    a.server_prefix = without_slash(config_string(settings, "CTMS_SERVER_PREFIX"));
    a.version = version_read(config_string(settings, "CTMS_VERSION_FILE"));
    a.body_max = (size_t)config_int(settings, "CTMS_MAX_BODY_BYTES");
    a.token_lifetime_s = config_int(settings, "CTMS_TOKEN_EXPIRATION");
    a.metrics_token = config_string(settings, "CTMS_METRICS_TOKEN");
    log_set_buffered(true);
    open_sentry(&a, previous_status);
    if (connect_database(&a)) {
        serve(&a, listening_fd);
        status = 0;
    }
    say_ready(&a);
    sentry_close();
    pg_listener_free(a.listener);
    pg_pool_free(a.pool);
    replicas_free(a.replicas);
    position_source_free(a.position);
    auth_free(a.auth);
    event_base_free(a.base);
    free(a.server_prefix);
    free(a.openapi);
    free(a.contact_schemas);
    free(a.version);
    return status;
}
