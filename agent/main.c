/*
 * main.c: ctms-agent, which carries changed contacts to Acoustic: settings, signals, the event
 * loop, and notifications from the database. The work is in sync.c. With --bulk it is the process
 * that works on runs by file: bulk_main.c.
 *
 * SIGTERM and SIGINT: finishes the requests in flight, gives back the rest and ends; a second
 * signal ends it at once. SIGHUP: reads the settings again.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include <curl/curl.h>
#include <event2/event.h>
#include <libxml/parser.h>

#include "agent/bulk.h"
#include "agent/bulk_main.h"
#include "agent/report.h"
#include "agent/service.h"
#include "agent/settings.h"
#include "agent/sync.h"
#include "common/config.h"
#include "common/event_log.h"
#include "common/log.h"
#include "common/pg_listen.h"
#include "common/pg_pool.h"
#include "common/sentry.h"

/* An agent has no more statements to run at a time. */
#define CONNECTIONS_MAX 8

typedef struct agent {
    struct event_base *base;
    config *config;
    agent_settings settings;
    pg_pool *pool;
    pg_listener *listener;
    agent_metrics *metrics;
    struct sync *sync;
    agent_bulk *bulk;
    service *service;
    struct event *signals[3];
    bool is_stopping;
    bool is_deaf; /* notifications cannot arrive; logged already */
} agent;

/* ---- signals ---------------------------------------------------------------------- */

static void
on_stop(evutil_socket_t number, short what, void *arg)
{
    agent *a = arg;

    (void)what;
    if (a->is_stopping)
        _exit(128 + (int)number);
    a->is_stopping = true;
    log_message(LOG_LEVEL_INFO, REPORT_SYNC, "stopping");
    agent_bulk_stop(a->bulk);
    sync_drain(a->sync);
}

static void
open_sentry(const agent *a)
{
    sentry_options options = {.dsn = config_string(a->config, "SENTRY_DSN"),
                              .program = "ctms-agent",
                              .is_debug = config_bool(a->config, "CTMS_SENTRY_DEBUG")};
    char message[128];

    if (!sentry_open(a->base, &options, message, sizeof(message)))
        log_message(LOG_LEVEL_ERROR, REPORT_SYNC, "%s", message);
}

static void
on_reload(evutil_socket_t number, short what, void *arg)
{
    agent *a = arg;
    agent_settings settings;
    config_error error;
    config *fresh = config_read_again(a->config, &error);

    (void)number;
    (void)what;
    if (fresh == NULL ||
        !agent_settings_fill(&settings, fresh, error.message, sizeof(error.message))) {
        log_message(LOG_LEVEL_ERROR, REPORT_SYNC, "settings are not changed: %s", error.message);
        config_free(fresh);
        return;
    }
    config_free(a->config);
    a->config = fresh;
    a->settings = settings;
    log_open(config_bool(fresh, "CTMS_USE_MOZLOG"), config_string(fresh, "CTMS_LOGGING_LEVEL"));
    log_message(LOG_LEVEL_INFO, REPORT_SYNC, "settings are read again");
    open_sentry(a);
    sync_apply_settings(a->sync);
    agent_bulk_apply_settings(a->bulk);
}

static bool
catch_signals(agent *a)
{
    const struct {
        int number;
        event_callback_fn callback;
    } handlers[] = {{SIGTERM, on_stop}, {SIGINT, on_stop}, {SIGHUP, on_reload}};

    for (int i = 0; i < 3; i++) {
        a->signals[i] = evsignal_new(a->base, handlers[i].number, handlers[i].callback, a);
        if (a->signals[i] == NULL || event_add(a->signals[i], NULL) != 0)
            return false;
    }
    return true;
}

/* ---- metrics and health ----------------------------------------------------------- */

static void
on_cycle_ended(void *arg)
{
    agent *a = arg;

    service_push(a->service);
}

static service_health
get_health(void *arg)
{
    agent *a = arg;
    service_health health = sync_get_health(a->sync);

    health.is_listening = pg_listener_is_listening(a->listener);
    return health;
}

static bool
open_service(agent *a, char *message, size_t size)
{
    service_options options = {.host = config_string(a->config, "CTMS_HOST"),
                               .port = (int)config_int(a->config, "CTMS_AGENT_METRICS_PORT"),
                               .gateway =
                                   config_string(a->config, "CTMS_PROMETHEUS_PUSHGATEWAY_URL"),
                               .settings = &a->settings,
                               .metrics = a->metrics,
                               .health = get_health,
                               .arg = a};

    a->service = service_new(a->base, &options, message, size);
    return a->service != NULL;
}

/* ---- the database ----------------------------------------------------------------- */

static void
log_pool(void *arg, log_level level, const char *message)
{
    (void)arg;
    log_message(level, REPORT_SYNC, "%s", message);
}

static void
on_listening(void *arg)
{
    agent *a = arg;

    if (a->is_deaf)
        log_message(LOG_LEVEL_INFO, REPORT_SYNC, "the agent gets notifications again");
    a->is_deaf = false;
    sync_look(a->sync);
}

static void
on_deaf(void *arg, const char *message)
{
    agent *a = arg;

    if (!a->is_deaf)
        log_message(LOG_LEVEL_WARNING, REPORT_SYNC,
                    "the agent gets no notifications and polls instead: %s", message);
    a->is_deaf = true;
}

static void
on_notified(void *arg, const char *channel)
{
    agent *a = arg;

    (void)channel;
    sync_look(a->sync);
}

static bool
open_database(agent *a, char *message, size_t size)
{
    static const char *const channels[] = {"ctms_acoustic", NULL};
    static const pg_listener_events events = {on_listening, on_notified, on_deaf};
    const char *listen_url = config_string(a->config, "CTMS_LISTEN_DB_URL");
    int connections = (int)config_int(a->config, "CTMS_DB_MAX_CONNECTIONS");
    pg_pool_options options = {.url = config_string(a->config, "CTMS_DB_URL"),
                               .application = "ctms-agent",
                               .connections =
                                   connections < CONNECTIONS_MAX ? connections : CONNECTIONS_MAX,
                               .queue_max = 1024,
                               .timeout_s = config_real(a->config, "CTMS_DB_TIMEOUT_S"),
                               .log = log_pool};

    a->pool = pg_pool_new(a->base, &options, message, size);
    if (a->pool == NULL)
        return false;
    a->metrics = agent_metrics_new();
    a->sync = sync_new(a->base, &(sync_options){.pool = a->pool,
                                                .settings = &a->settings,
                                                .metrics = a->metrics,
                                                .cycle_ended = on_cycle_ended,
                                                .arg = a});
    if (a->sync == NULL) {
        snprintf(message, size, "could not set up HTTP");
        return false;
    }
    a->listener =
        pg_listener_new(a->base,
                        &(pg_listener_options){.url = listen_url ? listen_url : options.url,
                                               .application = "ctms-agent listen",
                                               .channels = channels,
                                               .pool = a->pool},
                        &events, a, message, size);
    return a->listener != NULL;
}

/* ---- life ------------------------------------------------------------------------- */

/* Without this, libxml2 would print its complaints about answers. */
static void
ignore_xml_error(void *context, const char *format, ...)
{
    (void)context;
    (void)format;
}

static void
set_up_libraries(void)
{
    long seed;

    signal(SIGPIPE, SIG_IGN);
    if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
        seed = getpid();
    srand48(seed);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    xmlInitParser();
    xmlSetGenericErrorFunc(NULL, ignore_xml_error);
}

static void
agent_close(agent *a)
{
    /* From here on a signal ends the program at once. */
    for (int i = 0; i < 3; i++) {
        if (a->signals[i] != NULL)
            event_free(a->signals[i]);
    }
    agent_bulk_free(a->bulk);
    sentry_close();
    service_free(a->service);
    sync_free(a->sync);
    agent_metrics_free(a->metrics);
    pg_listener_free(a->listener);
    pg_pool_free(a->pool);
    if (a->base != NULL)
        event_base_free(a->base);
    config_free(a->config);
    curl_global_cleanup();
    xmlCleanupParser();
    log_close();
}

static bool
open_all(agent *a, char **arguments, char *message, size_t size)
{
    a->base = event_base_new();
    if (a->base == NULL)
        return false;
    open_sentry(a);
    if (!catch_signals(a) || !open_database(a, message, size) || !open_service(a, message, size))
        return false;
    a->bulk = agent_bulk_new(a->base, &(agent_bulk_options){.pool = a->pool,
                                                            .settings = &a->settings,
                                                            .metrics = a->metrics,
                                                            .arguments = arguments});
    return true;
}

/* Works on runs by file instead of being an agent. */
static int
run_bulk(agent *a, bulk_main_mode mode)
{
    int status = bulk_main_run(a->config, mode);

    agent_close(a);
    return status;
}

int
main(int argc, char **argv)
{
    bulk_main_mode mode = bulk_main_take_argument(&argc, argv);
    agent a = {.config = config_main(CONFIG_AGENT,
                                     "carries changed contacts to Acoustic (it starts itself with "
                                     "--bulk=... for waves by file)",
                                     argc, argv)};
    char message[512] = "out of memory";
    bool is_set_up;

    set_up_libraries();
    if (mode != BULK_MAIN_NONE)
        return run_bulk(&a, mode);
    log_open(config_bool(a.config, "CTMS_USE_MOZLOG"),
             config_string(a.config, "CTMS_LOGGING_LEVEL"));
    event_log_open();
    if (!agent_settings_fill(&a.settings, a.config, message, sizeof(message))) {
        fprintf(stderr, "ctms-agent: %s\n", message);
        agent_close(&a);
        return 2;
    }
    is_set_up = open_all(&a, argv, message, sizeof(message));
    if (is_set_up)
        event_base_dispatch(a.base);
    else
        fprintf(stderr, "ctms-agent: %s\n", message);
    agent_close(&a);
    return is_set_up ? 0 : 1;
}
