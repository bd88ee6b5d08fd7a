/*
 * acoustic_http.c: libcurl's multi socket interface on libevent; see acoustic_http.h.
 *
 * Nothing jumps or calls back into the agent from within libcurl: transfers that are done
 * are collected, and their callbacks called, when libcurl has returned.
 */
#include "acoustic_http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

/* More than the failures of 100 rows need; what is larger is no answer of the XML API. */
enum { ANSWER_MAX = 4 * 1024 * 1024, IDLE_HANDLES_MAX = 64 };

typedef struct transfer {
    acoustic_http *http;
    CURL *easy;
    struct curl_slist *headers;
    buf body;
    buf answer;
    bool is_too_large;
    char error[CURL_ERROR_SIZE];
    http_callback callback;
    void *arg;
    struct transfer *previous, *next;
} transfer;

struct acoustic_http {
    struct event_base *base;
    CURLM *multi;
    struct event *timer;
    transfer *transfers;
    CURL *idle[IDLE_HANDLES_MAX]; /* easy handles to be used again */
    int idle_count;
};

/* ---- the event loop --------------------------------------------------------------- */

static void
transfer_free(transfer *t)
{
    acoustic_http *http = t->http;

    if (t->previous != NULL)
        t->previous->next = t->next;
    else
        http->transfers = t->next;
    if (t->next != NULL)
        t->next->previous = t->previous;
    curl_multi_remove_handle(http->multi, t->easy);
    if (http->idle_count < IDLE_HANDLES_MAX) {
        curl_easy_reset(t->easy);
        http->idle[http->idle_count++] = t->easy;
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
    http_answer answer = {.body = buf_text(&t->answer), .length = t->answer.length};
    long status = 0;

    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(t->easy, CURLINFO_TOTAL_TIME, &answer.duration_s);
    answer.status = (int)status;
    if (t->is_too_large)
        answer.problem = "the answer is too large";
    else if (code == CURLE_OPERATION_TIMEDOUT)
        answer.problem = "timed out";
    else if (code != CURLE_OK)
        answer.problem = t->error[0] != '\0' ? t->error : curl_easy_strerror(code);
    t->callback(t->arg, &answer);
    transfer_free(t);
}

static void
collect_finished(acoustic_http *http)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(http->multi, &left)) != NULL) {
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
    acoustic_http *http = arg;
    int flags = (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0);
    int running;

    curl_multi_socket_action(http->multi, fd, flags, &running);
    collect_finished(http);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
    acoustic_http *http = arg;
    int running;

    (void)fd;
    (void)what;
    curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    collect_finished(http);
}

static int
set_timer(CURLM *multi, long timeout_ms, void *arg)
{
    acoustic_http *http = arg;
    struct timeval delay = {timeout_ms / 1000, timeout_ms % 1000 * 1000};

    (void)multi;
    if (timeout_ms < 0)
        event_del(http->timer);
    else
        event_add(http->timer, &delay);
    return 0;
}

/* Each socket has an event, made when libcurl first asks for it. */
static int
watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    acoustic_http *http = arg;
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
        event = event_new(http->base, fd, wanted, on_socket, http);
        if (event == NULL)
            return -1;
        curl_multi_assign(http->multi, fd, event);
    } else {
        event_assign(event, http->base, fd, wanted, on_socket, http);
    }
    return event_add(event, NULL);
}

/* ---- requests --------------------------------------------------------------------- */

static size_t
take_bytes(char *bytes, size_t size, size_t count, void *arg)
{
    transfer *t = arg;

    if (t->answer.length + size * count > ANSWER_MAX) {
        t->is_too_large = true;
        return 0; /* ends the transfer */
    }
    buf_append(&t->answer, bytes, size * count);
    return size * count;
}

static void
add_header(transfer *t, const char *name, const char *value)
{
    buf line = BUF_INIT;

    buf_printf(&line, "%s%s", name, value);
    t->headers = curl_slist_append(t->headers, buf_text(&line));
    buf_free(&line);
}

/* A proxy of the environment cannot reach what listens here. */
static bool
is_local(const char *url)
{
    static const char *const hosts[] = {"127.0.0.1", "localhost", "[::1]"};
    const char *host = strstr(url, "://");

    for (size_t i = 0; host != NULL && i < sizeof(hosts) / sizeof(*hosts); i++) {
        if (strncasecmp(host + 3, hosts[i], strlen(hosts[i])) == 0)
            return true;
    }
    return false;
}

static void
set_options(transfer *t, const http_post *post)
{
    CURL *easy = t->easy;

    if (is_local(post->url))
        curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy, CURLOPT_URL, post->url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, buf_text(&t->body));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)t->body.length);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, t->headers);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)(post->timeout_s * 1000));
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)(post->timeout_s * 1000));
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "ctms-agent");
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, t->error);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_bytes);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, t);
}

void
acoustic_http_post(acoustic_http *http, const http_post *post, buf *body, http_callback callback,
                   void *arg)
{
    transfer *t = xcalloc(1, sizeof(*t));

    t->http = http;
    t->callback = callback;
    t->arg = arg;
    t->body = *body;
    *body = (buf)BUF_INIT;
    t->easy = http->idle_count > 0 ? http->idle[--http->idle_count] : curl_easy_init();
    if (t->easy == NULL)
        abort(); /* out of memory, as in xmalloc() */
    add_header(t, "Content-Type: ", post->content_type);
    add_header(t, "Expect:", ""); /* no round trip to ask before a large body */
    if (post->bearer != NULL)
        add_header(t, "Authorization: Bearer ", post->bearer);
    set_options(t, post);
    t->next = http->transfers;
    if (t->next != NULL)
        t->next->previous = t;
    http->transfers = t;
    curl_multi_add_handle(http->multi, t->easy);
}

acoustic_http *
acoustic_http_new(struct event_base *base)
{
    acoustic_http *http = xcalloc(1, sizeof(*http));

    http->base = base;
    http->timer = evtimer_new(base, on_timer, http);
    http->multi = curl_multi_init();
    if (http->timer == NULL || http->multi == NULL) {
        acoustic_http_free(http);
        return NULL;
    }
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
    return http;
}

void
acoustic_http_free(acoustic_http *http)
{
    transfer *t, *next;

    if (http == NULL)
        return;
    for (t = http->transfers; t != NULL; t = next) {
        next = t->next;
        transfer_free(t);
    }
    while (http->idle_count > 0)
        curl_easy_cleanup(http->idle[--http->idle_count]);
    if (http->multi != NULL)
        curl_multi_cleanup(http->multi);
    if (http->timer != NULL)
        event_free(http->timer);
    free(http);
}
