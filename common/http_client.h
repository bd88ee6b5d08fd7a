/*
 * http_client.h: HTTP requests from the event loop: libcurl's multi interface with kept
 * connections, a limit for the size of answers, and a time limit for each request.
 *
 * It is the only HTTP client of the programs: the agent calls Acoustic and pushes metrics with it,
 * Sentry reports go through it, and the REST server fetches the keys of Pub/Sub. It knows nothing
 * of tokens, XML or retries.
 */
#ifndef CTMS_COMMON_HTTP_CLIENT_H
#define CTMS_COMMON_HTTP_CLIENT_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"

typedef struct http_client http_client;

/* Valid during the callback. */
typedef struct http_client_answer {
    const char *problem; /* why there is no complete answer; NULL when there is one */
    bool was_sent;       /* without an answer: the server may still be at work on it */
    bool was_closed;     /* see is_sent_once */
    int status;          /* 0 without an answer */
    const char *body;    /* never NULL */
    size_t length;
    double duration_s;
    double max_age_s; /* from Cache-Control; -1 when it has none, 0 for no-store and no-cache */
} http_client_answer;

typedef void (*http_client_callback)(void *arg, const http_client_answer *answer);

typedef struct http_client_request {
    const char *url;
    const char *const *headers; /* whole lines, ended by NULL; may be NULL */
    size_t answer_max;
    double timeout_s; /* for the whole request, connecting included */
    /* If a connection that was kept ends before anything is answered, libcurl sends the request
     * again on a new one. With this it does not, and the answer has was_closed. */
    bool is_sent_once;
} http_client_request;

/* NULL when libcurl could not be set up. user_agent must outlive the client. */
http_client *http_client_new(struct event_base *base, const char *user_agent);
/* Ends the requests in flight; their callbacks are not called. */
void http_client_free(http_client *client);

/*
 * Starts a request. The request is copied. With a body it is a POST: the bytes are taken over and
 * the buf is left empty. With NULL it is a GET. The callback is called exactly once, from the event
 * loop, never from within this call.
 */
void http_client_send(http_client *client, const http_client_request *request, buf *body,
                      http_client_callback callback, void *arg);

#endif
