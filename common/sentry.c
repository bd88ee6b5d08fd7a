/* sentry.c: builds and sends envelopes; see sentry.h. */
#include "common/sentry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/hex.h"
#include "common/http_client.h"
#include "common/version.h"

#define LOG_TYPE "ctms.sentry"
#define CLIENT "ctms/" CTMS_VERSION
#define TIMEOUT_S 5.0
#define ANSWER_MAX 4096
#define MINUTE_S 60.0

/* One state for the whole process, as the log has. */
static struct {
    http_client *http;
    char *url;
    char *key;
    char *program;
    bool is_debug;
    int in_flight;
    double minute_began_s;
    int sent_in_minute;
    double quiet_until_s; /* Sentry asked us to wait until then */
    unsigned long long dropped;
} state;

/* ---- opening ------------------------------------------------------------------------ */

/* scheme://KEY@host[:port][/path]/PROJECT; the key may have a secret behind a colon. */
bool
sentry_parse_dsn(const char *dsn, char **url, char **key)
{
    const char *authority = strstr(dsn, "://");
    const char *at = authority ? strchr(authority, '@') : NULL;
    const char *project = at ? strrchr(at, '/') : NULL;
    size_t key_length = authority ? strcspn(authority + 3, ":@/") : 0;
    buf out = BUF_INIT;

    *url = *key = NULL;
    if (project == NULL || key_length == 0 || project[1] == '\0' ||
        strspn(project + 1, "0123456789") != strlen(project + 1) || project == at + 1 ||
        (strncmp(dsn, "https://", 8) != 0 && strncmp(dsn, "http://", 7) != 0))
        return false;
    buf_append(&out, dsn, (size_t)(authority + 3 - dsn));
    buf_append(&out, at + 1, (size_t)(project - at - 1));
    buf_printf(&out, "/api/%s/envelope/", project + 1);
    *url = buf_steal(&out);
    *key = xstrndup(authority + 3, key_length);
    return true;
}

bool
sentry_open(struct event_base *base, const sentry_options *options, char *message, size_t size)
{
    sentry_close();
    if (options->dsn == NULL || options->dsn[0] == '\0')
        return true;
    if (!sentry_parse_dsn(options->dsn, &state.url, &state.key)) {
        snprintf(message, size, "SENTRY_DSN must be like https://KEY@HOST/PROJECT");
        return false;
    }
    state.http = http_client_new(base, CLIENT);
    state.program = xstrdup(options->program);
    state.is_debug = options->is_debug;
    return true;
}

void
sentry_close(void)
{
    http_client_free(state.http);
    free(state.url);
    free(state.key);
    free(state.program);
    memset(&state, 0, sizeof(state));
}

/* ---- envelopes ------------------------------------------------------------------------ */

static void
append_member(buf *out, const char *name, const char *value)
{
    buf_printf(out, ",\"%s\":", name);
    buf_append_json_string(out, value);
}

static void
append_tags(buf *out, const sentry_tag *tags, size_t count)
{
    buf_append_string(out, ",\"tags\":{\"program\":");
    buf_append_json_string(out, state.program);
    for (size_t i = 0; i < count; i++) {
        if (tags[i].value != NULL)
            append_member(out, tags[i].name, tags[i].value);
    }
    if (state.dropped > 0)
        buf_printf(out, ",\"reports_dropped\":\"%llu\"", state.dropped);
    buf_append_char(out, '}');
}

static void
append_event(buf *out, const char *event_id, log_level level, const char *logger,
             const char *message, const sentry_tag *tags, size_t tag_count)
{
    char hostname[256] = "";
    char when[32];
    time_t now = time(NULL);
    struct tm parts;

    gethostname(hostname, sizeof(hostname) - 1);
    strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &parts));
    buf_printf(out, "{\"event_id\":\"%s\",\"timestamp\":\"%s\",\"platform\":\"native\"", event_id,
               when);
    append_member(out, "level", level <= LOG_LEVEL_CRITICAL ? "fatal" : "error");
    append_member(out, "logger", logger);
    append_member(out, "server_name", hostname);
    append_member(out, "release", CLIENT);
    buf_append_string(out, ",\"logentry\":{\"message\":");
    buf_append_json_string(out, message);
    buf_append_char(out, '}');
    append_tags(out, tags, tag_count);
    buf_append_char(out, '}');
}

/* ---- sending ----------------------------------------------------------------------------- */

static bool
may_send(void)
{
    double now = clock_now_s();

    if (now >= state.minute_began_s + MINUTE_S) {
        state.minute_began_s = now;
        state.sent_in_minute = 0;
    }
    return state.in_flight < SENTRY_IN_FLIGHT && state.sent_in_minute < SENTRY_PER_MINUTE &&
           now >= state.quiet_until_s;
}

static void
on_answer(void *arg, const http_client_answer *answer)
{
    (void)arg;
    state.in_flight--;
    if (answer->status == 429)
        state.quiet_until_s = clock_now_s() + MINUTE_S;
    if (answer->problem != NULL)
        log_message(LOG_LEVEL_WARNING, LOG_TYPE, "could not report an error: %s", answer->problem);
    else if (answer->status != 200)
        log_message(LOG_LEVEL_WARNING, LOG_TYPE, "could not report an error: status %d",
                    answer->status);
}

static void
post(buf *envelope)
{
    buf auth = BUF_INIT;
    const char *headers[] = {"Content-Type: application/x-sentry-envelope", NULL, NULL};
    http_client_request request = {
        .url = state.url, .headers = headers, .answer_max = ANSWER_MAX, .timeout_s = TIMEOUT_S};

    buf_printf(&auth,
               "X-Sentry-Auth: Sentry sentry_version=7, sentry_client=" CLIENT ", sentry_key=%s",
               state.key);
    headers[1] = auth.data;
    state.in_flight++;
    state.sent_in_minute++;
    state.dropped = 0;
    http_client_send(state.http, &request, envelope, on_answer, NULL);
    buf_free(&auth);
}

void
sentry_report(log_level level, const char *logger, const char *message, const sentry_tag *tags,
              size_t tag_count)
{
    buf event = BUF_INIT, envelope = BUF_INIT;
    char event_id[HEX_ID_LENGTH + 1];

    if (state.http == NULL)
        return;
    if (!may_send()) {
        state.dropped++;
        return;
    }
    hex_write_id(event_id);
    append_event(&event, event_id, level, logger, message, tags, tag_count);
    buf_printf(&envelope, "{\"event_id\":\"%s\"}\n{\"type\":\"event\",\"length\":%zu}\n", event_id,
               event.length);
    buf_append(&envelope, event.data, event.length);
    buf_append_char(&envelope, '\n');
    if (state.is_debug) {
        log_line *line = log_begin(LOG_LEVEL_INFO, LOG_TYPE);

        log_json(line, "event", event.data, event.length);
        log_end(line, "reporting an error");
    }
    post(&envelope);
    buf_free(&event);
}
