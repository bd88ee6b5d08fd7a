/*
 * http_client.c: libcurl's multi socket interface on libevent; see http_client.h.
 *
 * The callback of a request never runs inside libcurl: finished transfers are collected, and their
 * callbacks are called after libcurl has returned.
 */
#include "common/http_client.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

enum { IDLE_HANDLES_MAX = 64 };

typedef struct transfer {
    http_client *client;
    CURL *easy;
    struct curl_slist *headers;
    buf body;
    buf answer;
    size_t answer_max;
    double max_age_s;
    bool is_too_large;
    bool is_sent_once, was_sent, was_closed;
    char error[CURL_ERROR_SIZE];
    http_client_callback callback;
    void *arg;
    struct transfer *previous, *next;
} transfer;

struct http_client {
    struct event_base *base;
    const char *user_agent;
    CURLM *multi;
    struct event *timer;
    transfer *transfers;
    CURL *idle[IDLE_HANDLES_MAX]; /* easy handles kept for reuse */
    int idle_count;
};

/* ---- the event loop ------------------------------------------------------------ */

static void
transfer_free(transfer *t)
{
    http_client *client = t->client;

    if (t->previous != NULL)
        t->previous->next = t->next;
    else
        client->transfers = t->next;
    if (t->next != NULL)
        t->next->previous = t->previous;
    curl_multi_remove_handle(client->multi, t->easy);
    if (client->idle_count < IDLE_HANDLES_MAX) {
        curl_easy_reset(t->easy);
        client->idle[client->idle_count++] = t->easy;
    } else {
        curl_easy_cleanup(t->easy);
    }
    curl_slist_free_all(t->headers);
    buf_free(&t->body);
    buf_free(&t->answer);
    free(t);
}

static void
finish(transfer *t, CURLcode code)
{
    http_client_answer answer = {
        .body = buf_text(&t->answer), .length = t->answer.length, .max_age_s = t->max_age_s};
    long status = 0;

    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(t->easy, CURLINFO_TOTAL_TIME, &answer.duration_s);
    answer.status = (int)status;
    answer.was_sent = t->was_sent;
    answer.was_closed = t->was_closed;
    if (t->was_closed)
        answer.problem = "the server closed the connection";
    else if (t->is_too_large)
        answer.problem = "the answer is too large";
    else if (code == CURLE_OPERATION_TIMEDOUT)
        answer.problem = "timed out";
    else if (code != CURLE_OK)
        answer.problem = t->error[0] != '\0' ? t->error : curl_easy_strerror(code);
    t->callback(t->arg, &answer);
    transfer_free(t);
}

static void
collect_finished(http_client *client)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(client->multi, &left)) != NULL) {
        transfer *t = NULL;
        CURLcode code = message->data.result;

        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&t);
        finish(t, code);
    }
}

static void
on_socket(evutil_socket_t fd, short what, void *arg)
{
    http_client *client = arg;
    int flags = (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0);
    int running;

    curl_multi_socket_action(client->multi, fd, flags, &running);
    collect_finished(client);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
    http_client *client = arg;
    int running;

    (void)fd;
    (void)what;
    curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    collect_finished(client);
}

static int
set_timer(CURLM *multi, long timeout_ms, void *arg)
{
    http_client *client = arg;
    struct timeval delay = {timeout_ms / 1000, timeout_ms % 1000 * 1000};

    (void)multi;
    if (timeout_ms < 0)
        event_del(client->timer);
    else
        event_add(client->timer, &delay);
    return 0;
}

/* Each socket has an event, made when libcurl first asks for it. */
static int
watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    http_client *client = arg;
    struct event *event = socket_arg;
    short wanted = EV_PERSIST;

    (void)easy;
    if (event != NULL)
        event_del(event);
    if (what == CURL_POLL_REMOVE) {
        if (event != NULL)
            event_free(event);
        return 0;
    }
    if (what & CURL_POLL_IN)
        wanted |= EV_READ;
    if (what & CURL_POLL_OUT)
        wanted |= EV_WRITE;
    if (event == NULL) {
        event = event_new(client->base, fd, wanted, on_socket, client);
        if (event == NULL)
            return -1;
        curl_multi_assign(client->multi, fd, event);
    } else {
        event_assign(event, client->base, fd, wanted, on_socket, client);
    }
    return event_add(event, NULL);
}

/* ---- requests -------------------------------------------------------------------- */

static size_t
take_bytes(char *bytes, size_t size, size_t count, void *arg)
{
    transfer *t = arg;

    if (t->answer.length + size * count > t->answer_max) {
        t->is_too_large = true;
        return 0; /* ends the transfer */
    }
    buf_append(&t->answer, bytes, size * count);
    return size * count;
}

/* The connection is there, the request is sent next. */
static int
before_sending(void *arg, char *address, char *local_address, int port, int local_port)
{
    transfer *t = arg;

    (void)address;
    (void)local_address;
    (void)port;
    (void)local_port;
    t->was_closed = t->is_sent_once && t->was_sent;
    t->was_sent = true;
    return t->was_closed ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

/* Cache-Control is the only header that is read. */
static size_t
take_header(char *bytes, size_t size, size_t count, void *arg)
{
    static const char wanted[] = "cache-control:";
    transfer *t = arg;
    size_t length = size * count;
    char *line, *max_age;

    if (length < sizeof(wanted) || strncasecmp(bytes, wanted, sizeof(wanted) - 1) != 0)
        return length;
    line = xstrndup(bytes, length);
    max_age = strcasestr(line, "max-age=");
    if (strcasestr(line, "no-store") != NULL || strcasestr(line, "no-cache") != NULL)
        t->max_age_s = 0;
    else if (max_age != NULL)
        t->max_age_s = (double)strtoul(max_age + 8, NULL, 10);
    free(line);
    return length;
}

/* True for a host that is this machine: a proxy from the environment cannot reach it. */
static bool
is_local(const char *url)
{
    static const char *const hosts[] = {"127.0.0.1", "localhost", "[::1]"};
    const char *host = strstr(url, "://");

    for (size_t i = 0; host != NULL && i < sizeof(hosts) / sizeof(*hosts); i++) {
        size_t length = strlen(hosts[i]);

        if (strncasecmp(host + 3, hosts[i], length) == 0 &&
            strchr(":/?#", host[3 + length]) != NULL)
            return true;
    }
    return false;
}

static void
set_options(transfer *t, const http_client_request *request)
{
    CURL *easy = t->easy;

    if (is_local(request->url))
        curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy, CURLOPT_URL, request->url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, t->headers);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)(request->timeout_s * 1000));
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)(request->timeout_s * 1000));
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, t->client->user_agent);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, t->error);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_bytes);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, before_sending);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, t);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, t);
}

/* The body is not copied: it stays in place until the transfer is done. */
static void
set_body(transfer *t, buf *body)
{
    t->body = *body;
    *body = (buf)BUF_INIT;
    curl_easy_setopt(t->easy, CURLOPT_POST, 1L);
    curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, buf_text(&t->body));
    curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)t->body.length);
}

void
http_client_send(http_client *client, const http_client_request *request, buf *body,
                 http_client_callback callback, void *arg)
{
    transfer *t = xcalloc(1, sizeof(*t));

    t->client = client;
    t->callback = callback;
    t->arg = arg;
    t->answer_max = request->answer_max;
    t->is_sent_once = request->is_sent_once;
    t->max_age_s = -1;
    t->easy = client->idle_count > 0 ? client->idle[--client->idle_count] : curl_easy_init();
    if (t->easy == NULL)
        abort(); /* out of memory, as in xmalloc() */
    /* Send a large body at once, without asking first. */
    t->headers = curl_slist_append(t->headers, "Expect:");
    for (size_t i = 0; request->headers != NULL && request->headers[i] != NULL; i++)
        t->headers = curl_slist_append(t->headers, request->headers[i]);
    set_options(t, request);
    if (body != NULL)
        set_body(t, body);
    t->next = client->transfers;
    if (t->next != NULL)
        t->next->previous = t;
    client->transfers = t;
    curl_multi_add_handle(client->multi, t->easy);
}

http_client *
http_client_new(struct event_base *base, const char *user_agent)
{
    http_client *client = xcalloc(1, sizeof(*client));

    client->base = base;
    client->user_agent = user_agent;
    client->timer = evtimer_new(base, on_timer, client);
    client->multi = curl_multi_init();
    if (client->timer == NULL || client->multi == NULL) {
        http_client_free(client);
        return NULL;
    }
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
    return client;
}

void
http_client_free(http_client *client)
{
    if (client == NULL)
        return;
    for (transfer *t = client->transfers, *next; t != NULL; t = next) {
        next = t->next;
        transfer_free(t);
    }
    while (client->idle_count > 0)
        curl_easy_cleanup(client->idle[--client->idle_count]);
    if (client->multi != NULL)
        curl_multi_cleanup(client->multi);
    if (client->timer != NULL)
        event_free(client->timer);
    free(client);
}
