/*
 * acoustic/token.h: the OAuth access token: fetched once for all requests, renewed before it ends,
 * backed off when that fails.
 */
#ifndef AGENT_ACOUSTIC_TOKEN_H
#define AGENT_ACOUSTIC_TOKEN_H

#include "agent/acoustic/account.h"
#include "common/http_client.h"

typedef struct token_source token_source;

typedef struct token_events {
    /* There is a token (again): go on. */
    void (*ready)(void *arg);
    /* A fetch failed; the next is in retry_s seconds, by itself. is_refused: the server
     * answered that the credentials are wrong, so that only an operator can help. */
    void (*failed)(void *arg, bool is_refused, const char *problem, double retry_s);
} token_events;

/* account must outlive the source and may change under it. */
token_source *
token_source_new(struct event_base *base, http_client *http, const acoustic_account *account,
                 const token_events *events, void *arg);
void token_source_free(token_source *source);

/*
 * The token to send, with its number; or null, and then one is being fetched or waited
 * for, and ready() will be called. Valid until the next call of the event loop.
 */
const char *token_get(token_source *source, unsigned *number);
/* The server refused the token of that number. Many may say so; one fetch follows. */
void token_reject(token_source *source, unsigned number);
/* Whatever token there is, the next is fetched anew. */
void token_renew(token_source *source);

#endif
