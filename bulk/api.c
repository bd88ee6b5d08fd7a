/* api.c: calls of Acoustic's XML API that block; see api.h. */
#include "bulk/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "acoustic/answer.h"
#include "acoustic/classify.h"
#include "acoustic/token.h"
#include "common/clock.h"
#include "common/http_client.h"

enum { ANSWER_MAX = 1024 * 1024 };
#define TICK_S 0.2
/* How long to wait before a slot is asked for again. */
#define SLOT_PAUSE_S 0.5
#define SLOT_MAX_S 120.0
/* Then it wants more than any agent can, for which it comes first. */
#define SLOT_INSIST_S 3.0
/* A request without an answer keeps its slot that much longer than its time limit. */
#define HOLD_MARGIN_S 3.0

struct bulk_api {
    const bulk_settings *settings;
    bulk_database *db;
    const char *agent;
    bulk_api_events events;
    struct event_base *base;
    struct event *timer;
    http_client *http;
    token_source *tokens;
    bool is_ended;       /* tick() has said no */
    bool has_slot;       /* the database has a slot for us */
    bool is_insisting;   /* there are fewer slots than agents, as far as we know */
    double held_until_s; /* for a request without an answer */
    bool is_failed;      /* the last fetch of a token */
    bool is_refused;
    char problem[160]; /* of that fetch */

    /* the request in flight */
    bool is_done;
    bool is_held; /* its slot */
    bulk_api_result result;
    bool is_token_refused;
    unsigned token_number;
    acoustic_job *job;
    char *message;
    size_t size;
};

/* ---- the event loop ----------------------------------------------------------------- */

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
    bulk_api *api = arg;

    (void)fd;
    (void)what;
    if (!api->events.tick(api->events.arg))
        api->is_ended = true;
}

static void
on_token(void *arg)
{
    bulk_api *api = arg;

    api->is_failed = api->is_refused = false;
}

static void
on_token_failure(void *arg, bool is_refused, const char *problem, double retry_s)
{
    bulk_api *api = arg;

    (void)retry_s;
    api->is_failed = true;
    api->is_refused = is_refused;
    snprintf(api->problem, sizeof(api->problem), "%s", problem);
}

/* ---- slots -------------------------------------------------------------------------- */

/* In a transaction of its own, as everything. */
static bulk_database_result
share(bulk_api *api, const char *wanted, const char *in_use, double lease_s, int *granted)
{
    char total[16], lease[32];
    const char *parameters[] = {api->agent, wanted, in_use, total, lease};
    PGresult *result = NULL;
    bulk_database_result outcome;

    snprintf(total, sizeof(total), "%d", api->settings->max_in_flight);
    snprintf(lease, sizeof(lease), "%.3f", lease_s);
    outcome = bulk_database_query(
        api->db,
        "SELECT ctms.share_acoustic($1, $2::int, $3::int, $4::int, make_interval(secs => $5))", 5,
        parameters, &result);
    *granted = outcome == BULK_DATABASE_OK ? atoi(PQgetvalue(result, 0, 0)) : 0;
    PQclear(result);
    return outcome;
}

static double
slot_lease_s(const bulk_api *api)
{
    return api->settings->acoustic.timeout_s + HOLD_MARGIN_S;
}

static bool
wait_until(bulk_api *api, double end_s)
{
    while (clock_now_s() < end_s && !api->is_ended)
        event_base_loop(api->base, EVLOOP_ONCE);
    return !api->is_ended;
}

/* One slot. With fewer requests than agents, those that want most come first, and an agent wants
 * one when it is idle, too. What we get beyond one is given back at once. */
static bulk_database_result
ask_for_slot(bulk_api *api, int *granted)
{
    char wanted[16];
    int kept;
    bulk_database_result outcome;

    snprintf(wanted, sizeof(wanted), "%d",
             api->is_insisting ? api->settings->max_in_flight + 1 : 1);
    outcome = share(api, wanted, "0", slot_lease_s(api), granted);
    if (outcome == BULK_DATABASE_OK && *granted > 1) {
        outcome = share(api, "1", "1", slot_lease_s(api), &kept);
        api->is_insisting = false;
    }
    return outcome;
}

/* Another agent may have to give one back first, or Acoustic may be at work on our last request. */
static bulk_api_result
take_slot(bulk_api *api, char *message, size_t size)
{
    double deadline_s, insist_s;
    int granted;

    if (!wait_until(api, api->held_until_s))
        return BULK_API_ENDED;
    deadline_s = clock_now_s() + SLOT_MAX_S;
    insist_s = clock_now_s() + SLOT_INSIST_S;
    for (;;) {
        bulk_database_result outcome = ask_for_slot(api, &granted);

        if (outcome != BULK_DATABASE_OK) {
            snprintf(message, size, "%s", bulk_database_message(api->db));
            return outcome == BULK_DATABASE_STOPPED ? BULK_API_ENDED : BULK_API_NOT_DONE;
        }
        api->has_slot = true;
        if (granted > 0)
            return BULK_API_OK;
        if (!wait_until(api, clock_now_s() + SLOT_PAUSE_S))
            return BULK_API_ENDED;
        api->is_insisting |= clock_now_s() >= insist_s;
        if (clock_now_s() > deadline_s) {
            snprintf(message, size, "the agents have left no request to Acoustic free");
            return BULK_API_NOT_DONE;
        }
    }
}

/* is_held: Acoustic may still be at work on the request, so the slot stays taken until its lease
 * ends. */
static void
give_slot_back(bulk_api *api, bool is_held)
{
    int granted;

    if (!api->has_slot)
        return;
    share(api, "0", is_held ? "1" : "0", slot_lease_s(api), &granted);
    api->has_slot = false;
    if (is_held)
        api->held_until_s = clock_now_s() + slot_lease_s(api);
}

/* ---- the token ---------------------------------------------------------------------- */

static bulk_api_result
await_token(bulk_api *api, const char **token, char *message, size_t size)
{
    double deadline_s = clock_now_s() + 2 * api->settings->acoustic.timeout_s + HOLD_MARGIN_S;

    api->is_failed = api->is_refused = false;
    while ((*token = token_get(api->tokens, &api->token_number)) == NULL) {
        if (api->is_failed || clock_now_s() > deadline_s) {
            snprintf(message, size, "no access token: %s",
                     api->is_failed ? api->problem : "it takes too long");
            return api->is_refused ? BULK_API_REFUSED : BULK_API_NOT_DONE;
        }
        if (api->is_ended)
            return BULK_API_ENDED;
        event_base_loop(api->base, EVLOOP_ONCE);
    }
    return BULK_API_OK;
}

bulk_api_result
bulk_api_log_in(bulk_api *api, char *message, size_t size)
{
    const char *token;

    api->is_ended = false;
    return await_token(api, &token, message, size);
}

/* ---- answers ------------------------------------------------------------------------ */

/* Acoustic's texts may quote what was sent: words with an "@" are left out. */
static void
describe(char *message, size_t size, const char *what, const char *text)
{
    size_t length = (size_t)snprintf(message, size, "%s%s", what, *text ? ": " : "");

    while (*text != '\0' && length + 5 < size) {
        size_t word = strcspn(text, " "), blanks = strspn(text + word, " ");
        const char *shown = memchr(text, '@', word) != NULL ? "…" : text;
        size_t shown_length = shown == text ? word : strlen(shown);

        if (length + shown_length + 2 >= size)
            break;
        memcpy(message + length, shown, shown_length);
        length += shown_length;
        if (blanks > 0)
            message[length++] = ' ';
        text += word + blanks;
    }
    if (length < size)
        message[length] = '\0';
}

static bulk_api_result
judge(bulk_api *api, const http_client_answer *answer, const acoustic_answer *read)
{
    verdict v = classify_answer(answer->problem, answer->status, read);
    char what[96];

    if (v.class == CLASS_SUCCESS)
        return BULK_API_OK;
    if (answer->problem != NULL) {
        describe(api->message, api->size, "no answer of Acoustic", answer->problem);
        return answer->was_sent ? BULK_API_UNKNOWN : BULK_API_NOT_DONE;
    }
    if (read->result == ACOUSTIC_FAULT && read->errorid >= 0)
        snprintf(what, sizeof(what), "Acoustic answers fault %ld", read->errorid);
    else
        snprintf(what, sizeof(what), "Acoustic answers HTTP %d", answer->status);
    describe(api->message, api->size, what, read->text);
    switch (v.class) {
    case CLASS_AUTHENTICATION: api->is_token_refused = true; return BULK_API_NOT_DONE;
    case CLASS_CONTACT:
    case CLASS_CONFIGURATION: return BULK_API_REFUSED;
    default: break;
    }
    /* Whoever has trouble may have done it all the same, except that it was one too many. */
    return v.is_overload ? BULK_API_NOT_DONE : BULK_API_UNKNOWN;
}

static void
on_answer(void *arg, const http_client_answer *answer)
{
    bulk_api *api = arg;
    acoustic_answer read;

    acoustic_answer_read(&read, answer->body, answer->length);
    acoustic_job_read(api->job, answer->body, answer->length);
    api->result = judge(api, answer, &read);
    acoustic_answer_free(&read);
    /* A proxy in front of Acoustic may not have waited for it. */
    api->is_held =
        answer->problem != NULL ? answer->was_sent : answer->status == 502 || answer->status == 504;
    api->is_done = true;
}

/* ---- requests ----------------------------------------------------------------------- */

static void
send_request(bulk_api *api, const char *token, buf *body)
{
    buf url = BUF_INIT, authorization = BUF_INIT;
    const char *headers[] = {"Content-Type: text/xml;charset=UTF-8", NULL, NULL};
    http_client_request request = {.headers = headers,
                                   .answer_max = ANSWER_MAX,
                                   .timeout_s = api->settings->acoustic.timeout_s,
                                   .is_sent_once = true};

    buf_printf(&url, "%s/XMLAPI", api->settings->acoustic.base_url);
    buf_printf(&authorization, "Authorization: Bearer %s", token);
    request.url = buf_text(&url);
    headers[1] = buf_text(&authorization);
    http_client_send(api->http, &request, body, on_answer, api);
    buf_free(&url);
    buf_free(&authorization);
}

static bulk_api_result
try_call(bulk_api *api, buf *body, bool (*ready)(void *arg), void *arg)
{
    const char *token;
    bulk_api_result result = await_token(api, &token, api->message, api->size);

    /* The slot is for one request, not for the wait for a token; the wait for the slot may have
     * been long. */
    if (result == BULK_API_OK)
        result = take_slot(api, api->message, api->size);
    if (result == BULK_API_OK)
        result = await_token(api, &token, api->message, api->size);
    if (result == BULK_API_OK && ready != NULL && !ready(arg))
        result = BULK_API_ENDED;
    if (result != BULK_API_OK) {
        give_slot_back(api, false);
        return result;
    }
    api->is_done = api->is_token_refused = false;
    send_request(api, token, body);
    while (!api->is_done)
        event_base_loop(api->base, EVLOOP_ONCE);
    give_slot_back(api, api->is_held);
    if (api->is_token_refused)
        token_reject(api->tokens, api->token_number);
    return api->result;
}

bulk_api_result
bulk_api_call(bulk_api *api, buf *body, bool (*ready)(void *arg), void *arg, acoustic_job *job,
              char *message, size_t size)
{
    buf copy = BUF_INIT;
    bulk_api_result result;

    api->job = job;
    api->message = message;
    api->size = size;
    api->is_ended = api->is_token_refused = false;
    *message = '\0';
    buf_append(&copy, body->data, body->length);
    result = try_call(api, body, ready, arg);
    if (result == BULK_API_NOT_DONE && api->is_token_refused) {
        result = try_call(api, &copy, ready, arg);
        /* A new token is refused too, so its age is not the reason. */
        if (result == BULK_API_NOT_DONE && api->is_token_refused)
            result = BULK_API_REFUSED;
    }
    buf_free(body);
    buf_free(&copy);
    return result;
}

/* ---- life --------------------------------------------------------------------------- */

bulk_api *
bulk_api_new(const bulk_settings *settings, bulk_database *db, const char *agent,
             const bulk_api_events *events)
{
    static const token_events tokens = {on_token, on_token_failure};
    bulk_api *api = xcalloc(1, sizeof(*api));
    struct timeval tick = clock_timeval(TICK_S);

    api->settings = settings;
    api->db = db;
    api->agent = agent;
    api->events = *events;
    api->base = event_base_new();
    if (api->base != NULL)
        api->http = http_client_new(api->base, "ctms");
    if (api->http == NULL) {
        bulk_api_free(api);
        return NULL;
    }
    api->tokens = token_source_new(api->base, api->http, &settings->acoustic, &tokens, api);
    api->timer = event_new(api->base, -1, EV_PERSIST, on_timer, api);
    event_add(api->timer, &tick);
    return api;
}

void
bulk_api_free(bulk_api *api)
{
    if (api == NULL)
        return;
    token_source_free(api->tokens);
    http_client_free(api->http);
    if (api->timer != NULL)
        event_free(api->timer);
    if (api->base != NULL)
        event_base_free(api->base);
    free(api);
}
