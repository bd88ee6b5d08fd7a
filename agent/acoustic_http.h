/*
 * acoustic_http.h: HTTP POST from the event loop: libcurl's multi interface, connections
 * kept alive, answers of bounded size, a time limit for everything.
 *
 * Knows nothing of tokens, XML or retries.
 */
#ifndef AGENT_ACOUSTIC_HTTP_H
#define AGENT_ACOUSTIC_HTTP_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>

#include "buf.h"

typedef struct acoustic_http acoustic_http;

/* Valid during the callback. */
typedef struct http_answer {
    const char *problem; /* why there is no (whole) answer; null when there is one */
    int status;          /* 0 without an answer */
    const char *body;    /* never null */
    size_t length;
    double duration_s;
} http_answer;

typedef void (*http_callback)(void *arg, const http_answer *answer);

typedef struct http_post {
    const char *url;
    const char *content_type;
    const char *bearer; /* access token, null for none */
    double timeout_s;   /* for everything, connecting included */
} http_post;

/* Null when libcurl could not be set up. */
acoustic_http *acoustic_http_new(struct event_base *base);
/* Ends what is in flight; its callbacks are not called. */
void acoustic_http_free(acoustic_http *http);

/*
 * Starts a request; takes the body's bytes over and leaves an empty buf. The callback is
 * called once, from the event loop, never from within this call.
 */
void acoustic_http_post(acoustic_http *http, const http_post *post, buf *body,
                        http_callback callback, void *arg);

#endif
