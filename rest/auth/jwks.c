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
/* How long keys are used when the answer does not say it. */
#define DEFAULT_AGE_S 300.0
/* RFC 7518, 3.3 and RFC 8725, 3.5. */
#define RSA_BITS_MIN 2048
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
    double kept_s, interval_s;
    known_key keys[KEYS_MAX];
    int key_count;
    double good_until_s;
    double known_since_s; /* when the keys were fetched */
    double asked_s;       /* when the last fetch was begun; 0: never */
    bool is_fetching;
    bool is_away; /* the last fetch failed */
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
jwks_new(http_client *client, const jwks_options *options)
{
    jwks *j = xcalloc(1, sizeof(*j));

    j->client = client;
    j->url = xstrdup(options->url);
    j->kept_s = options->kept_s;
    j->interval_s = options->interval_s;
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

/* Also forgets the keys that are too old. */
static jwks_result
look_up(jwks *j, const char *kid, const cjose_jwk_t **key)
{
    *key = NULL;
    if (j->key_count > 0 && j->known_since_s + j->kept_s <= clock_now_s()) {
        log_message(LOG_LEVEL_ERROR, LOG_TYPE,
                    "the keys of Pub/Sub are too old and no longer used: none could be fetched for "
                    "%.1f hours",
                    j->kept_s / 3600);
        forget_keys(j->keys, j->key_count);
        j->key_count = 0;
    }
    if (j->key_count == 0)
        return JWKS_UNAVAILABLE;
    *key = find_known(j, kid);
    return *key != NULL ? JWKS_FOUND : JWKS_UNKNOWN;
}

/* ---- fetching ------------------------------------------------------------------- */

static bool
is_base64url(const json_t *member)
{
    return json_is_string(member) &&
           jose_text_is_base64url(json_string_value(member), json_string_length(member));
}

/* Bits of a number in base64url, from its first bit that is 1. */
static int
count_bits(const char *text)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t zeros = strspn(text, "A");
    int bits = (int)(strlen(text) * 6 / 8 * 8) - (int)zeros * 6;
    int first = text[zeros] != '\0' ? (int)(strchr(alphabet, text[zeros]) - alphabet) : 0;

    for (int bit = 32; bit > first; bit /= 2)
        bits--;
    return bits;
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
    int bits;

    if (type == NULL || strcmp(type, "RSA") != 0 || !is_base64url(json_object_get(key, "n")) ||
        !is_base64url(json_object_get(key, "e")) || (use != NULL && strcmp(use, "sig") != 0) ||
        !json_is_string(json_object_get(key, "kid")))
        return NULL;
    bits = count_bits(json_string_value(json_object_get(key, "n")));
    if (bits < RSA_BITS_MIN) {
        log_message(LOG_LEVEL_WARNING, LOG_TYPE,
                    "a key of Pub/Sub is not used: it has %d bits, fewer than %d", bits,
                    RSA_BITS_MIN);
        return NULL;
    }
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
        if (wait->callback != NULL) {
            const cjose_jwk_t *key;
            jwks_result result = look_up(j, wait->kid, &key);

            wait->callback(wait->arg, result, key);
        }
        free(wait->kid);
        free(wait);
    }
}

/* While there are keys, only the first failure is told. */
static void
note_failure(jwks *j, const http_client_answer *answer)
{
    const char *problem = answer->problem         ? answer->problem
                          : answer->status != 200 ? "status"
                                                  : "no keys in an answer of status";

    if (j->key_count == 0)
        log_message(LOG_LEVEL_ERROR, LOG_TYPE, "could not fetch the keys of Pub/Sub: %s %d",
                    problem, answer->status);
    else if (!j->is_away)
        log_message(LOG_LEVEL_WARNING, LOG_TYPE,
                    "could not fetch the keys of Pub/Sub: %s %d; the known ones stay in use for "
                    "%.1f hours at most",
                    problem, answer->status, (j->known_since_s + j->kept_s - clock_now_s()) / 3600);
    j->is_away = true;
}

static void
on_fetched(void *arg, const http_client_answer *answer)
{
    jwks *j = arg;
    double age_s = answer->max_age_s < 0 ? DEFAULT_AGE_S : answer->max_age_s;

    j->is_fetching = false;
    if (answer->problem != NULL || answer->status != 200 || !take_keys(j, answer)) {
        note_failure(j, answer);
    } else {
        j->known_since_s = clock_now_s();
        j->good_until_s = j->known_since_s + (age_s < j->kept_s ? age_s : j->kept_s);
        if (j->is_away)
            log_message(LOG_LEVEL_INFO, LOG_TYPE, "fetched the keys of Pub/Sub again");
        j->is_away = false;
    }
    answer_waiting(j);
}

static void
fetch(jwks *j)
{
    http_client_request request = {.url = j->url, .answer_max = ANSWER_MAX, .timeout_s = TIMEOUT_S};

    j->is_fetching = true;
    j->asked_s = clock_now_s();
    http_client_send(j->client, &request, NULL, on_fetched, j);
}

jwks_wait *
jwks_find(jwks *j, const char *kid, jwks_callback callback, void *arg)
{
    const cjose_jwk_t *key = find_known(j, kid);
    double now = clock_now_s();
    bool may_fetch = j->is_fetching || j->asked_s == 0 || j->asked_s + j->interval_s <= now;
    jwks_wait *wait;

    if ((key != NULL && j->good_until_s > now) || !may_fetch || j->waiting_count >= WAITING_MAX) {
        jwks_result result = look_up(j, kid, &key);

        callback(arg, result, key);
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
