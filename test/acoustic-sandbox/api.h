/*
 * api.h: gives the answers of Acoustic: the OAuth token call and the XML API, without HTTP.
 * server.c calls it.
 */
#ifndef CTMS_TEST_ACOUSTIC_SANDBOX_API_H
#define CTMS_TEST_ACOUSTIC_SANDBOX_API_H

#include <time.h>

#include "test/acoustic-sandbox/answer.h"
#include "test/acoustic-sandbox/jobs.h"
#include "test/acoustic-sandbox/ledger.h"
#include "test/acoustic-sandbox/refusal.h"
#include "test/acoustic-sandbox/settings.h"
#include "test/acoustic-sandbox/store.h"

struct api {
    struct settings *settings;
    struct store store;
    struct ledger ledger;
    struct refusal_log refusals;
    struct jobs jobs;
    char token[48]; /* empty: no token is valid */
    time_t token_ends;
    long token_count;
    long in_flight;
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
