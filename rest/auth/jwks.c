/* auth/jwks.c: the public keys of an issuer of tokens, fetched when they are needed; see jwks.h. */
#include "rest/auth/jwks.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"
#include "rest/auth/jose_text.h"

#define LOG_TYPE "ctms.rest"
#define KEYS_MAX 32
#define ANSWER_MAX (256 * 1024)
#define TIMEOUT_S 5.0
/* Shortest time between two fetches, whatever the reason for them. */
#define FETCH_INTERVAL_S 10.0
/* How long keys are used: when the answer does not say it, and at most. */
#define DEFAULT_AGE_S 300.0
#define MAX_AGE_S 86400.0
#define WAITING_MAX 1024

typedef struct known_key {
    char *kid;
    cjose_jwk_t *jwk;
} known_key;

struct jwks_wait {
    char *kid;
    jwks_callback callback; /* NULL: abandoned */
    void *arg;
    jwks_wait *next;
};

struct jwks {
    http_client *client;
    char *url;
    known_key keys[KEYS_MAX];
    int key_count;
    double good_until_s;
    double fetched_s; /* when the last fetch was begun; 0: never */
    bool is_fetching;
    jwks_wait *waiting;
    int waiting_count;
};

static void
forget_keys(known_key *keys, int count)
{
    for (int i = 0; i < count; i++) {
        free(keys[i].kid);
        cjose_jwk_release(keys[i].jwk);
    }
}

jwks *
jwks_new(http_client *client, const char *url)
{
    jwks *j = xcalloc(1, sizeof(*j));

    j->client = client;
    j->url = xstrdup(url);
    return j;
}

void
jwks_free(jwks *j)
{
    jwks_wait *wait;

    if (j == NULL)
        return;
    while ((wait = j->waiting) != NULL) {
        j->waiting = wait->next;
        free(wait->kid);
        free(wait);
    }
    forget_keys(j->keys, j->key_count);
    free(j->url);
    free(j);
}

static const cjose_jwk_t *
find_known(const jwks *j, const char *kid)
{
    for (int i = 0; i < j->key_count; i++) {
        if (strcmp(j->keys[i].kid, kid) == 0)
            return j->keys[i].jwk;
    }
    return NULL;
}

/* ---- fetching ------------------------------------------------------------------- */

static bool
is_base64url(const json_t *member)
{
    return json_is_string(member) &&
           jose_text_is_base64url(json_string_value(member), json_string_length(member));
}

/* An RSA key that may be used for signatures, or NULL. */
static cjose_jwk_t *
import_key(json_t *key)
{
    const char *type = json_string_value(json_object_get(key, "kty"));
    const char *use = json_string_value(json_object_get(key, "use"));
    cjose_jwk_t *jwk = NULL;
    cjose_err error;
    char *text;

    if (type == NULL || strcmp(type, "RSA") != 0 || !is_base64url(json_object_get(key, "n")) ||
        !is_base64url(json_object_get(key, "e")) || (use != NULL && strcmp(use, "sig") != 0) ||
        !json_is_string(json_object_get(key, "kid")))
        return NULL;
    text = json_dumps(key, JSON_COMPACT);
    if (text != NULL)
        jwk = cjose_jwk_import(text, strlen(text), &error);
    free(text);
    return jwk;
}

/* Takes the keys of an answer. If it has none, returns false and keeps the old ones. */
static bool
take_keys(jwks *j, const http_client_answer *answer)
{
    json_t *body = json_loadb(answer->body, answer->length, 0, NULL);
    known_key keys[KEYS_MAX];
    int count = 0;
    json_t *key;
    size_t i;

    json_array_foreach(json_object_get(body, "keys"), i, key)
    {
        cjose_jwk_t *jwk = count < KEYS_MAX ? import_key(key) : NULL;

        if (jwk == NULL)
            continue;
        keys[count].kid = xstrdup(json_string_value(json_object_get(key, "kid")));
        keys[count++].jwk = jwk;
    }
    json_decref(body);
    if (count == 0)
        return false;
    forget_keys(j->keys, j->key_count);
    memcpy(j->keys, keys, sizeof(keys[0]) * (size_t)count);
    j->key_count = count;
    return true;
}

static void
answer_waiting(jwks *j)
{
    jwks_wait *wait, *waiting = j->waiting;

    j->waiting = NULL;
    j->waiting_count = 0;
    while ((wait = waiting) != NULL) {
        waiting = wait->next;
        if (wait->callback != NULL)
            wait->callback(wait->arg, find_known(j, wait->kid));
        free(wait->kid);
        free(wait);
    }
}

static void
on_fetched(void *arg, const http_client_answer *answer)
{
    jwks *j = arg;
    double age_s = answer->max_age_s < 0 ? DEFAULT_AGE_S : answer->max_age_s;

    j->is_fetching = false;
    if (answer->problem != NULL || answer->status != 200)
        log_message(LOG_LEVEL_ERROR, LOG_TYPE, "could not fetch the keys of Pub/Sub: %s %d",
                    answer->problem ? answer->problem : "status", answer->status);
    else if (!take_keys(j, answer))
        log_message(LOG_LEVEL_ERROR, LOG_TYPE, "the key server of Pub/Sub sent no keys");
    else
        j->good_until_s = clock_now_s() + (age_s < MAX_AGE_S ? age_s : MAX_AGE_S);
    answer_waiting(j);
}

static void
fetch(jwks *j)
{
    http_client_request request = {.url = j->url, .answer_max = ANSWER_MAX, .timeout_s = TIMEOUT_S};

    j->is_fetching = true;
    j->fetched_s = clock_now_s();
    http_client_send(j->client, &request, NULL, on_fetched, j);
}

jwks_wait *
jwks_find(jwks *j, const char *kid, jwks_callback callback, void *arg)
{
    const cjose_jwk_t *key = find_known(j, kid);
    double now = clock_now_s();
    bool may_fetch = j->is_fetching || j->fetched_s == 0 || j->fetched_s + FETCH_INTERVAL_S <= now;
    jwks_wait *wait;

    if ((key != NULL && j->good_until_s > now) || !may_fetch || j->waiting_count >= WAITING_MAX) {
        callback(arg, key);
        return NULL;
    }
    wait = xcalloc(1, sizeof(*wait));
    wait->kid = xstrdup(kid);
    wait->callback = callback;
    wait->arg = arg;
    wait->next = j->waiting;
    j->waiting = wait;
    j->waiting_count++;
    if (!j->is_fetching)
        fetch(j);
    return wait;
}

void
jwks_abandon(jwks_wait *wait)
{
    wait->callback = NULL;
}
