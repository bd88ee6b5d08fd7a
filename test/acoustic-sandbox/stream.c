/*
 * stream.c: answers with all rows of the store, however many, a slice of the event loop at a time;
 * see server.h.
 *
 * Rows may come and go meanwhile. Each contact that is there all the time is told once: buckets are
 * only ever split, so the contacts of a bucket of the beginning are found in those that came of it.
 */
#include "test/acoustic-sandbox/server.h"

#include <stdlib.h>

#include <event2/bufferevent.h>
#include <event2/http.h>

#include "common/clock.h"

enum { UNSENT_MAX = 1024 * 1024, CHUNK = 64 * 1024 };

/* A slice; and the pause until an unread answer is looked at again. */
static const double SLICE_S = 0.002, PAUSE_S = 0.002;

struct stream {
    struct evhttp_request *request;
    const struct store *store;
    struct event *timer;
    size_t modulus; /* the buckets of the beginning */
    size_t at;
};

static void
stream_end(struct stream *stream)
{
    evhttp_send_reply_end(stream->request);
    event_free(stream->timer);
    free(stream);
}

/* False at the end, also when the store was cleared. */
static bool
fill(struct stream *stream, buf *text)
{
    const struct store *store = stream->store;

    while (stream->at < stream->modulus && stream->modulus <= store->level) {
        for (size_t i = stream->at; i < store->bucket_count; i += stream->modulus) {
            for (const struct contact *c = store->buckets[i]; c != NULL; c = c->next)
                store_contact_copy(c, text);
        }
        stream->at++;
        if (text->length >= CHUNK)
            return true;
    }
    return false;
}

static void
on_timer(evutil_socket_t fd, short what, void *context)
{
    struct stream *stream = context;
    struct evhttp_connection *connection = evhttp_request_get_connection(stream->request);
    double until_s = clock_now_s() + SLICE_S;
    struct evbuffer *chunk;
    struct evbuffer *unsent;
    struct timeval pause;
    buf text = BUF_INIT;
    bool is_more = connection != NULL;

    (void)fd;
    (void)what;
    if (!is_more) {
        stream_end(stream);
        return;
    }
    chunk = evbuffer_new();
    unsent = bufferevent_get_output(evhttp_connection_get_bufferevent(connection));
    if (evbuffer_get_length(unsent) < UNSENT_MAX) {
        while (is_more && evbuffer_get_length(chunk) < UNSENT_MAX && clock_now_s() < until_s) {
            is_more = fill(stream, &text);
            evbuffer_add(chunk, buf_text(&text), text.length);
            buf_reset(&text);
        }
    }
    /* An empty chunk would end the answer. */
    if (evbuffer_get_length(chunk) > 0)
        evhttp_send_reply_chunk(stream->request, chunk);
    evbuffer_free(chunk);
    buf_free(&text);
    if (!is_more) {
        stream_end(stream);
        return;
    }
    pause = clock_timeval(evbuffer_get_length(unsent) < UNSENT_MAX ? 0 : PAUSE_S);
    event_add(stream->timer, &pause);
}

void
stream_rows(struct evhttp_request *request, const struct store *store)
{
    struct event_base *base = evhttp_connection_get_base(evhttp_request_get_connection(request));
    struct stream *stream = xmalloc(sizeof(*stream));

    *stream = (struct stream){.request = request, .store = store, .modulus = store->level};
    stream->timer = event_new(base, -1, 0, on_timer, stream);
    evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type",
                      "text/plain; charset=utf-8");
    evhttp_send_reply_start(request, 200, NULL);
    on_timer(-1, 0, stream);
}
