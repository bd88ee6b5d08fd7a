/*
 * server.h: HTTP on loopback: the two paths of Acoustic, and the sandbox's own pages. main.c starts
 * it.
 */
#ifndef CTMS_TEST_ACOUSTIC_SANDBOX_SERVER_H
#define CTMS_TEST_ACOUSTIC_SANDBOX_SERVER_H

#include <event2/event.h>

#include "test/acoustic-sandbox/api.h"

struct evhttp;

/* Starts to listen. Returns null, with a message on stderr, on failure. Free it with
 * evhttp_free(). */
struct evhttp *server_start(struct event_base *base, struct api *api);

/*
 * In page.c: writes a page for people into "body": a part of the recipients, and the last refusals.
 * wanted: only those whose address, email_id, newsletter, waitlist or product has this text. page:
 * of the recipients, from 1 on.
 */
void page_write(struct evbuffer *body, const struct api *api, const char *wanted, size_t page);

#endif
