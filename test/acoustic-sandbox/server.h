/*
 * server.h: HTTP: the two paths of Acoustic, and the sandbox's own pages. main.c starts it.
 */
#ifndef CTMS_TEST_ACOUSTIC_SANDBOX_SERVER_H
#define CTMS_TEST_ACOUSTIC_SANDBOX_SERVER_H

#include <event2/event.h>

#include "test/acoustic-sandbox/api.h"

struct evhttp;
struct evhttp_request;

/* Starts to listen. Returns null, with a message on stderr, on failure. Free it with
 * evhttp_free(). */
struct evhttp *server_start(struct event_base *base, struct api *api);
/* The body as a string, which the caller frees. */
char *server_body(struct evhttp_request *request, size_t *len);

/* In own.c: adds the sandbox's own paths. */
void own_set_paths(struct evhttp *http, struct api *api);

/* In stream.c: answers with all rows, as store_contact_copy() writes them, bit by bit. */
void stream_rows(struct evhttp_request *request, const struct store *store);

/*
 * In page.c: writes a page for people into "body": a part of the recipients, and the last refusals.
 * wanted: only those whose address, email_id, newsletter, waitlist or product has this text. page:
 * of the recipients, from 1 on.
 */
void page_write(struct evbuffer *body, const struct api *api, const char *wanted, size_t page);

#endif
