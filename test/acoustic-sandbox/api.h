/*
 * api.h: gives the answers of Acoustic: the OAuth token call and the XML API, without HTTP.
 * server.c calls it.
 */
#ifndef CTMS_TEST_ACOUSTIC_SANDBOX_API_H
#define CTMS_TEST_ACOUSTIC_SANDBOX_API_H

#include <time.h>

#include <event2/buffer.h>

#include "test/acoustic-sandbox/ledger.h"
#include "test/acoustic-sandbox/refusal.h"
#include "test/acoustic-sandbox/settings.h"
#include "test/acoustic-sandbox/store.h"

struct api {
    struct settings *settings;
    struct store store;
    struct ledger ledger;
    struct refusal_log refusals;
    char token[48]; /* empty: no token is valid */
    time_t token_ends;
    long token_count;
    long in_flight;
};

/* What to send, and how. The caller owns "body". */
struct answer {
    enum answer_kind kind; /* for server.c: NORMAL, CUT, HUGE or SLOW */
    int status;
    const char *content_type;
    struct evbuffer *body;
    long delay_ms;
    long work_ms; /* after the answer, until it is no longer in flight */
    long bytes, byte_ms;
    char refusal[160]; /* why the whole request is refused; empty if it is not */
};

/* "form" is the urlencoded body. */
void api_token(struct api *api, const char *form, struct answer *answer);
/* "authorization" is the header's value or null; "xml" is the envelope. Counts the request
 * as in flight, until api_done(). */
void api_xml(struct api *api, const char *authorization, const char *xml, size_t len,
             struct answer *answer);
void api_done(struct api *api);
void api_revoke_token(struct api *api);

#endif
