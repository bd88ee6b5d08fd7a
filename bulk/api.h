/*
 * bulk/api.h: calls of Acoustic's XML API that block: one at a time, each with a slot of the
 * requests that all agents share, and with a token. jobs.c makes them.
 */
#ifndef CTMS_BULK_API_H
#define CTMS_BULK_API_H

#include "acoustic/import.h"
#include "bulk/database.h"
#include "bulk/settings.h"
#include "common/buf.h"

typedef struct bulk_api bulk_api;

typedef enum bulk_api_result {
    BULK_API_OK,
    BULK_API_NOT_DONE, /* Acoustic has not done it, and may do it later */
    BULK_API_UNKNOWN,  /* it was sent, and no answer tells whether it was done */
    BULK_API_REFUSED,  /* Acoustic will not do it; somebody must act */
    BULK_API_ENDED,    /* nothing was sent: tick() or ready() has said no */
} bulk_api_result;

typedef struct bulk_api_events {
    /* Called several times a second. False ends the waits before something is sent. */
    bool (*tick)(void *arg);
    void *arg;
} bulk_api_events;

/* Everything must outlive it. agent: the name in ctms.acoustic_agent. Null when libcurl or
 * libevent cannot be set up. */
bulk_api *bulk_api_new(const bulk_settings *settings, bulk_database *db, const char *agent,
                       const bulk_api_events *events);
/* Gives the slot back. */
void bulk_api_free(bulk_api *api);

/*
 * Sends a request, which is emptied, and reads the answer into job. ready() is called when there
 * is a slot and a token, directly before the request is sent; it may be null. message says what
 * went wrong, in one line without anything that looks like an address.
 */
bulk_api_result bulk_api_call(bulk_api *api, buf *body, bool (*ready)(void *arg), void *arg,
                              acoustic_job *job, char *message, size_t size);
/* Gets a token, if there is none: are the credentials right? */
bulk_api_result bulk_api_log_in(bulk_api *api, char *message, size_t size);

#endif
