/*
 * acoustic/token.c: fetches and keeps the access token; see acoustic/token.h.
 */
#include "acoustic/token.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/acoustic_login.h"
#include "common/clock.h"

/* A token counts as expired before its real end: by a tenth of its lifetime, at most by this. */
#define MARGIN_MAX_S 60.0
enum { TOKEN_MAX = 16 * 1024, ANSWER_MAX = 64 * 1024 };
#define RETRY_MIN_S 0.5
#define RETRY_MAX_S 60.0

struct token_source {
    struct event_base *base;
    http_client *http;
    const acoustic_account *account;
    token_events events;
    void *arg;
    char *token;       /* null: none */
    unsigned number;   /* number of the token; grows with each fetch */
    double renew_at_s; /* monotonic */
    bool is_fetching;
    struct event *retry_timer; /* pending: waits after a failure */
    int failures;              /* in a row */
};

static void fetch(token_source *source);

static void
forget_token(token_source *source)
{
    if (source->token != NULL)
        explicit_bzero(source->token, strlen(source->token));
    free(source->token);
    source->token = NULL;
}

static void
wait_and_retry(token_source *source, bool is_refused, const char *problem)
{
    double delay_s = clock_backoff_s(RETRY_MIN_S, RETRY_MAX_S, source->failures++);
    struct timeval delay = clock_timeval(delay_s);

    event_add(source->retry_timer, &delay);
    source->events.failed(source->arg, is_refused, problem, delay_s);
}

/* Tokens are put into a header, so they must be printable and have no blanks. */
static bool
is_token(const char *text)
{
    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        if (*text <= ' ' || *text > '~')
            return false;
    }
    return true;
}

static bool
take_token(token_source *source, const http_client_answer *answer)
{
    json_t *object = json_loadb(answer->body, answer->length, 0, NULL);
    const char *token = json_string_value(json_object_get(object, "access_token"));
    json_t *expires = json_object_get(object, "expires_in");
    double lasts_s = json_is_number(expires) ? json_number_value(expires) : 3600;
    bool is_taken = token != NULL && is_token(token) && strlen(token) < TOKEN_MAX;

    if (is_taken) {
        double margin_s = lasts_s / 10 < MARGIN_MAX_S ? lasts_s / 10 : MARGIN_MAX_S;

        forget_token(source);
        source->token = xstrdup(token);
        source->number++;
        source->failures = 0;
        /* If the server issues tokens that are about to expire, it is asked once a second at
         * most. */
        source->renew_at_s = clock_now_s() + (lasts_s - margin_s > 1 ? lasts_s - margin_s : 1);
    }
    json_decref(object);
    return is_taken;
}

static void
on_answer(void *arg, const http_client_answer *answer)
{
    token_source *source = arg;
    char text[80];

    source->is_fetching = false;
    if (answer->problem != NULL) {
        wait_and_retry(source, false, answer->problem);
    } else if (answer->status == 200 && take_token(source, answer)) {
        source->events.ready(source->arg);
    } else if (answer->status == 200) {
        wait_and_retry(source, false, "the answer holds no token");
    } else {
        acoustic_login_refusal(answer, text, sizeof(text));
        wait_and_retry(source, answer->status == 400 || answer->status == 401, text);
    }
}

static void
fetch(token_source *source)
{
    const acoustic_account *account = source->account;
    static const char *const headers[] = {ACOUSTIC_LOGIN_HEADER, NULL};
    http_client_request request = {
        .headers = headers, .answer_max = ANSWER_MAX, .timeout_s = account->timeout_s};
    buf url = BUF_INIT, body = BUF_INIT;

    buf_printf(&url, "%s/oauth/token", account->base_url);
    request.url = buf_text(&url);
    acoustic_login_body(&body, account->client_id, account->client_secret, account->refresh_token);
    source->is_fetching = true;
    http_client_send(source->http, &request, &body, on_answer, source);
    buf_free(&url);
}

static void
on_retry(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    fetch(arg);
}

const char *
token_get(token_source *source, unsigned *number)
{
    if (source->token != NULL && clock_now_s() >= source->renew_at_s)
        forget_token(source);
    if (source->token == NULL && !source->is_fetching &&
        !evtimer_pending(source->retry_timer, NULL))
        fetch(source);
    *number = source->number;
    return source->token;
}

void
token_reject(token_source *source, unsigned number)
{
    if (number == source->number)
        forget_token(source);
}

void
token_renew(token_source *source)
{
    forget_token(source);
}

token_source *
token_source_new(struct event_base *base, http_client *http, const acoustic_account *account,
                 const token_events *events, void *arg)
{
    token_source *source = xcalloc(1, sizeof(*source));

    source->base = base;
    source->http = http;
    source->account = account;
    source->events = *events;
    source->arg = arg;
    source->retry_timer = evtimer_new(base, on_retry, source);
    return source;
}

void
token_source_free(token_source *source)
{
    if (source == NULL)
        return;
    event_free(source->retry_timer);
    forget_token(source);
    free(source);
}
