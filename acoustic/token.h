/*
 * acoustic/token.h: the OAuth access token. It is fetched once for all requests, and again before
 * it expires. After a failure the next attempt waits. sync.c sets it up; send.c takes the token,
 * and outcome.c rejects it.
 */
#ifndef CTMS_ACOUSTIC_TOKEN_H
#define CTMS_ACOUSTIC_TOKEN_H

#include "acoustic/account.h"
#include "common/http_client.h"

typedef struct token_source token_source;

typedef struct token_events {
    /* There is a token (again): sending may continue. */
    void (*ready)(void *arg);
    /* A fetch failed. The next one follows automatically in retry_s seconds. is_refused: the server
     * answered that the credentials are wrong, so only an operator can help. */
    void (*failed)(void *arg, bool is_refused, const char *problem, double retry_s);
} token_events;

/* account must outlive the source; its content may change. */
token_source *
token_source_new(struct event_base *base, http_client *http, const acoustic_account *account,
                 const token_events *events, void *arg);
void token_source_free(token_source *source);

/*
 * The token to send, with its number; valid until the next call of the event loop. If there is
 * none, returns null: one is being fetched or waited for, and ready() will be called.
 */
const char *token_get(token_source *source, unsigned *number);
/* The server refused the token with that number. Several requests may report it; there is only one
 * fetch. */
void token_reject(token_source *source, unsigned number);
/* Fetches a new token before the next request, even if there is one. */
void token_renew(token_source *source);

#endif
