/*
 * main.c: the Acoustic sandbox, a server that speaks the token and XML API of Acoustic, for tests,
 * benchmarks and demonstrations.
 *
 * It also does imports of files that lie in a folder; somebody else's SFTP server puts them there.
 *
 * It keeps what it receives, shows it (GET / and /_sandbox/...), and makes requests fail on demand.
 * Settings are environment variables: see settings.h, and fault.h for the ways to fail.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/http.h>
#include <libxml/parser.h>

#include "test/acoustic-sandbox/server.h"

enum { SAVE_INTERVAL_S = 5 };

static void
on_stop(evutil_socket_t signal_number, short what, void *base)
{
    (void)signal_number;
    (void)what;
    event_base_loopbreak(base);
}

static void
save(evutil_socket_t fd, short what, void *context)
{
    struct api *api = context;

    (void)fd;
    (void)what;
    /* Not in the middle of an import: to write a large state takes long. */
    if (api->settings->state_file != NULL && api->store.is_dirty && api->jobs.current == NULL)
        store_save(&api->store, api->settings->state_file);
}

/* Errors in the XML of requests are answered, not printed. */
static void
ignore_xml_error(void *context, const char *format, ...)
{
    (void)context;
    (void)format;
}

/* The latency should be exactly what was set, not up to a millisecond more. */
static struct event_base *
new_base(void)
{
    struct event_config *config = event_config_new();
    struct event_base *base;

    event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
    base = event_base_new_with_config(config);
    event_config_free(config);
    return base;
}

static int
serve(struct api *api)
{
    struct event_base *base = new_base();
    struct evhttp *http = base ? server_start(base, api) : NULL;
    struct event *on_term, *on_int, *saver;
    struct timeval interval = {SAVE_INTERVAL_S, 0};

    if (http == NULL)
        return 1;
    jobs_start(&api->jobs, base, &(struct job_context){api->settings, &api->store, &api->refusals});
    on_term = evsignal_new(base, SIGTERM, on_stop, base);
    on_int = evsignal_new(base, SIGINT, on_stop, base);
    saver = event_new(base, -1, EV_PERSIST, save, api);
    event_add(on_term, NULL);
    event_add(on_int, NULL);
    event_add(saver, &interval);
    event_base_dispatch(base);
    jobs_stop(&api->jobs);
    save(-1, 0, api);
    event_free(saver);
    event_free(on_term);
    event_free(on_int);
    evhttp_free(http);
    event_base_free(base);
    return 0;
}

int
main(void)
{
    struct settings settings;
    struct api api = {.settings = &settings};
    int status = 1;

    signal(SIGPIPE, SIG_IGN);
    srand48(time(NULL) ^ getpid());
    xmlInitParser();
    xmlSetGenericErrorFunc(NULL, ignore_xml_error);
    if (!settings_from_environment(&settings))
        return 2;
    store_init(&api.store);
    if (settings.state_file == NULL || store_load(&api.store, settings.state_file))
        status = serve(&api);
    ledger_clear(&api.ledger);
    refusal_clear(&api.refusals);
    store_clear(&api.store);
    free(api.store.buckets);
    fault_free_list(&settings.faults);
    xmlCleanupParser();
    return status;
}
