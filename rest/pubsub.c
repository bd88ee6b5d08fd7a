/*
 * pubsub.c: messages that Google Pub/Sub pushes: checks that they come from our subscription, and
 * answers from the report of the database. See pubsub.h.
 */
#include "rest/pubsub.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/bearer.h"
#include "common/utf8.h"
#include "rest/auth/claims.h"
#include "rest/auth/jose_text.h"
#include "rest/resource.h"
#include "rest/route.h"

#define TOKEN_MAX 8192
/* Google's keys live for weeks; one that was withdrawn is trusted for a day at most. */
#define KEYS_KEPT_S 86400.0
#define KEYS_INTERVAL_S 10.0

struct pubsub {
    jwks *keys;
    const char *audience;
    const char *email;  /* NULL: not set */
    const char *client; /* NULL: not set */
};

/* A token whose key is being fetched. */
typedef struct token_check {
    exchange *ex;
    cjose_jws_t *jws;
    jwks_wait *wait;
} token_check;

pubsub *
pubsub_new(http_client *client, const config *settings, const char *server_prefix)
{
    pubsub *p = xcalloc(1, sizeof(*p));
    const char *audience = config_string(settings, "CTMS_PUBSUB_AUDIENCE");
    jwks_options keys = {.url = config_string(settings, "CTMS_PUBSUB_JWKS_URL"),
                         .kept_s = KEYS_KEPT_S,
                         .interval_s = KEYS_INTERVAL_S};

    p->keys = jwks_new(client, &keys);
    p->audience = audience ? audience : server_prefix;
    p->email = config_string(settings, "CTMS_PUBSUB_EMAIL");
    p->client = config_string(settings, "CTMS_PUBSUB_CLIENT");
    return p;
}

void
pubsub_free(pubsub *p)
{
    if (p == NULL)
        return;
    jwks_free(p->keys);
    free(p);
}

/* ---- the token ------------------------------------------------------------------- */

static void
refuse(exchange *ex, const char *reason)
{
    exchange_note(ex, FIELD_AUTH_FAIL, reason);
    exchange_answer_bad_token(ex);
}

static bool
is_string(const json_t *value, const char *expected)
{
    return json_is_string(value) && strcmp(json_string_value(value), expected) == 0;
}

/* "aud" may be a string or a list. */
static bool
is_audience(const json_t *aud, const char *expected)
{
    json_t *one;
    size_t i;

    if (is_string(aud, expected))
        return true;
    json_array_foreach((json_t *)aud, i, one)
    {
        if (is_string(one, expected))
            return true;
    }
    return false;
}

/* What is wrong with the claims, or NULL. */
static const char *
check_claims(const pubsub *p, const json_t *claims)
{
    json_t *issuer = json_object_get(claims, "iss");

    if (!json_is_object(claims))
        return "claims are not an object";
    if (!is_string(issuer, "https://accounts.google.com") &&
        !is_string(issuer, "accounts.google.com"))
        return "wrong issuer";
    if (!is_audience(json_object_get(claims, "aud"), p->audience))
        return "wrong audience";
    switch (claims_check_time(claims, time(NULL), NULL)) {
    case CLAIMS_VALID: break;
    case CLAIMS_NO_EXPIRY: return "no expiry";
    case CLAIMS_EXPIRED: return "expired token";
    case CLAIMS_BAD_START: return "nbf is not a number";
    case CLAIMS_TOO_EARLY: return "token not valid yet";
    }
    if (!is_string(json_object_get(claims, "email"), p->email))
        return "wrong email";
    if (!json_is_true(json_object_get(claims, "email_verified")))
        return "email not verified";
    return NULL;
}

/* What is wrong with the settings or the secret: all that needs no key. */
static const char *
check_client(const pubsub *p, const exchange *ex)
{
    const uri_text *given = uri_query_get(&ex->query, "pubsub_client");

    if (p->email == NULL)
        return "CTMS_PUBSUB_EMAIL is not set";
    if (p->client == NULL)
        return "CTMS_PUBSUB_CLIENT is not set";
    if (given == NULL || given->length == 0)
        return "no pubsub_client";
    if (!uri_is_text(given) || !bearer_is_same(given->data, p->client))
        return "wrong pubsub_client";
    return NULL;
}

/* Notes the claims for the log, unchanged. */
static void
note_claims(exchange *ex, const json_t *claims)
{
    static const struct {
        const char *name;
        exchange_field field;
    } shown[] = {
        {"iss", FIELD_PUBSUB_ISS},     {"aud", FIELD_PUBSUB_AUD},
        {"azp", FIELD_PUBSUB_AZP},     {"sub", FIELD_PUBSUB_SUB},
        {"email", FIELD_PUBSUB_EMAIL}, {"email_verified", FIELD_PUBSUB_EMAIL_VERIFIED},
        {"iat", FIELD_PUBSUB_IAT},     {"exp", FIELD_PUBSUB_EXP},
    };

    for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
        exchange_note_json(ex, shown[i].field, json_object_get(claims, shown[i].name));
}

/* Verifies the signature first; only then the claims can be trusted. */
static const char *
check_token(exchange *ex, cjose_jws_t *jws, const cjose_jwk_t *key)
{
    const pubsub *p = ex->app->pubsub;
    const char *problem;
    uint8_t *text = NULL;
    size_t length = 0;
    cjose_err error;
    json_t *claims;

    if (!cjose_jws_verify(jws, key, &error))
        return "bad signature";
    if (!cjose_jws_get_plaintext(jws, &text, &length, &error))
        return "no claims";
    claims = json_loadb((const char *)text, length, 0, NULL);
    problem = check_claims(p, claims);
    /* Google signs tokens for everybody; another person's address is not for our log. */
    if (problem == NULL)
        note_claims(ex, claims);
    json_decref(claims);
    return problem;
}

static void
free_check(token_check *check)
{
    cjose_jws_release(check->jws);
    free(check);
}

static void
abandon_check(void *awaited)
{
    token_check *check = awaited;

    jwks_abandon(check->wait);
    free_check(check);
}

static void
on_key(void *arg, jwks_result result, const cjose_jwk_t *key)
{
    token_check *check = arg;
    exchange *ex = check->ex;
    const char *problem = result == JWKS_FOUND         ? check_token(ex, check->jws, key)
                          : result == JWKS_UNAVAILABLE ? "no keys"
                                                       : "unknown key";

    exchange_end_wait(ex);
    free_check(check);
    if (problem != NULL) {
        refuse(ex, problem);
        return;
    }
    ex->is_client_allowed = true;
    ex->route->handler(ex);
}

/* Waits for the key of a token. Takes ownership of the token. */
static void
check_when_key_is_there(exchange *ex, cjose_jws_t *jws, const char *kid)
{
    token_check *check = xcalloc(1, sizeof(*check));
    jwks_wait *wait;

    check->ex = ex;
    check->jws = jws;
    exchange_wait(ex, check, abandon_check);
    wait = jwks_find(ex->app->pubsub->keys, kid, on_key, check);
    /* If it is NULL, the check has ended already. */
    if (wait != NULL)
        check->wait = wait;
}

/* Requires RS256, a key id, and no critical extensions. */
static const char *
read_header(cjose_jws_t *jws)
{
    cjose_header_t *header = cjose_jws_get_protected(jws);
    cjose_err error;
    const char *algorithm = header ? cjose_header_get(header, CJOSE_HDR_ALG, &error) : NULL;
    const char *kid = header ? cjose_header_get(header, CJOSE_HDR_KID, &error) : NULL;
    char *critical = header ? cjose_header_get_raw(header, "crit", &error) : NULL;
    bool ok = algorithm != NULL && strcmp(algorithm, CJOSE_HDR_ALG_RS256) == 0 && critical == NULL;

    free(critical);
    return ok ? kid : NULL;
}

void
pubsub_authorize_push(exchange *ex)
{
    const char *token = bearer_find_token(http_get_header(ex->request, "Authorization"));
    const char *problem, *kid;
    cjose_jws_t *jws;
    cjose_err error;

    if (token == NULL) {
        exchange_note(ex, FIELD_AUTH_FAIL, "no token");
        exchange_answer_no_token(ex);
        return;
    }
    /* Before a key is fetched: strangers must not make us ask for keys. */
    problem = check_client(ex->app->pubsub, ex);
    if (problem != NULL) {
        refuse(ex, problem);
        return;
    }
    jws = strlen(token) <= TOKEN_MAX && jose_text_is_compact_jws(token, strlen(token))
              ? cjose_jws_import(token, strlen(token), &error)
              : NULL;
    if (jws == NULL) {
        refuse(ex, "not a token");
        return;
    }
    kid = read_header(jws);
    if (kid == NULL) {
        cjose_jws_release(jws);
        refuse(ex, "wrong algorithm or no key id");
        return;
    }
    check_when_key_is_there(ex, jws, kid);
}

/* ---- the message --------------------------------------------------------------------- */

/* For bodies that cannot be a text in PostgreSQL. */
static const pg_statement ingest_bytes = {
    "SELECT ctms.ingest_pubsub(decode($1, 'hex'))", 1, false, "ingest_pubsub", PG_ONE_ROW, false};

static void
on_bytes_stored(void *arg, const pg_reply *reply)
{
    exchange *ex = arg;

    exchange_end_wait(ex);
    if (reply->status == PG_OK)
        pubsub_answer_report(ex, reply->result);
    else
        resource_answer_error(ex, reply);
}

static void
ingest_as_bytes(exchange *ex, const char *body, size_t length)
{
    static const char digits[] = "0123456789abcdef";
    buf hex = BUF_INIT;

    buf_reserve(&hex, 2 * length);
    for (size_t i = 0; i < length; i++) {
        buf_append_char(&hex, digits[(unsigned char)body[i] >> 4]);
        buf_append_char(&hex, digits[(unsigned char)body[i] & 0xF]);
    }
    exchange_query(ex, &ingest_bytes, (const char *const[]){buf_text(&hex)}, on_bytes_stored);
    buf_free(&hex);
}

/* Whatever the body is, the database stores or keeps it: Pub/Sub does not send it again. */
void
pubsub_handle_message(exchange *ex)
{
    const http_request *request = ex->request;
    const char *body = request->body ? request->body : "";

    if (!request->is_body_too_large && !utf8_is_text(body, request->body_length))
        ingest_as_bytes(ex, body, request->body_length);
    else
        resource_handle_request(ex);
}

/* A member of the report, NULL if it is null or an empty list. */
static const json_t *
member(const json_t *report, const char *name)
{
    const json_t *value = json_object_get(report, name);

    if (json_is_null(value) || (json_is_array(value) && json_array_size(value) == 0))
        return NULL;
    return value;
}

static void
note_report(exchange *ex, const json_t *report)
{
    const char *trace = json_string_value(json_object_get(report, "trace"));

    exchange_note_report(ex, FIELD_INGEST_ACTIONS, member(report, "ingest_actions"));
    exchange_note_report(ex, FIELD_INGEST_ERRORS, member(report, "errors"));
    exchange_note_report(ex, FIELD_INGEST_WARNINGS, member(report, "warnings"));
    if (member(report, "errors") != NULL)
        exchange_note_json(ex, FIELD_INGEST_KEPT, member(report, "kept"));
    exchange_note_list(ex, FIELD_FXA_ID_CONFLICT, member(report, "fxa_id_conflict"));
    exchange_note_report(ex, FIELD_PUBSUB_MESSAGE_ID, json_object_get(report, "message_id"));
    exchange_note(ex, FIELD_TRACE, trace);
    if (trace != NULL)
        exchange_note_json(ex, FIELD_TRACE_JSON, member(report, "trace_json"));
}

void
pubsub_answer_report(exchange *ex, const PGresult *result)
{
    json_t *report =
        PQntuples(result) == 1 ? json_loads(PQgetvalue(result, 0, 0), JSON_ALLOW_NUL, NULL) : NULL;
    int status = (int)json_integer_value(json_object_get(report, "status"));
    const json_t *answer = member(report, "response");
    char *response = answer ? json_dumps(answer, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;

    if (response == NULL || (status != 200 && status != 202 && status != 409 && status != 503)) {
        exchange_answer_failure(ex, "the report of a Pub/Sub message makes no sense", NULL);
    } else {
        note_report(ex, report);
        if (status == 409)
            resource_log_conflict(ex, "IntegrityError", "CTS03");
        exchange_answer_json(ex, status, response);
    }
    free(response);
    json_decref(report);
}
