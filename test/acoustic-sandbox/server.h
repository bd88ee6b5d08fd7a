/*
 * server.h: HTTP on loopback: the vendor's two paths, and the sandbox's own pages.
 */
#ifndef CTMS_TEST_ACOUSTIC_SANDBOX_SERVER_H
#define CTMS_TEST_ACOUSTIC_SANDBOX_SERVER_H

#include <event2/event.h>

#include "test/acoustic-sandbox/api.h"

struct evhttp;

/* Listens; null with a message on stderr when that fails. Free it with evhttp_free(). */
struct evhttp *server_start(struct event_base *base, struct api *api);

/* page.c: the content as a page for people, into "body". */
void page_write(struct evbuffer *body, const struct api *api);

#endif
