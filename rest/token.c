/* token.c: POST /token, the OAuth2 client credentials grant; see token.h. */
#include "rest/token.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "rest/http/form.h"
#include "rest/resource.h"

/* The credentials of a token request. The secret is wiped when they are freed. */
typedef struct credentials {
    char *id;
    char *secret;
} credentials;

static const pg_statement get_client = {
    .sql = "SELECT client_id, enabled, hashed_secret FROM ctms.get_api_client($1::text)",
    .parameter_count = 1,
    .is_read_only = true,
};

static void
forget(credentials *given)
{
    if (given->secret != NULL)
        explicit_bzero(given->secret, strlen(given->secret));
    free(given->secret);
    free(given->id);
    *given = (credentials){NULL, NULL};
}

/* The answer is the same for every reason; only the log has the reason. */
static void
refuse(exchange *ex, const char *reason)
{
    exchange_note(ex, FIELD_TOKEN_FAIL, reason);
    exchange_answer_detail(ex, 400, "Incorrect username or password");
}

static void
answer_token(exchange *ex)
{
    const app *a = ex->app;
    char *token = auth_make_token(a->auth, ex->client_id, a->token_lifetime_s);
    json_t *json;
    char *body;

    if (token == NULL) {
        exchange_answer_failure(ex, "could not sign a token", NULL);
        return;
    }
    json = json_pack("{s:s, s:s, s:I}", "access_token", token, "token_type", "bearer", "expires_in",
                     (json_int_t)a->token_lifetime_s);
    body = json_dumps(json, JSON_COMPACT);
    exchange_answer(ex, 200, "Cache-Control: no-store\r\nPragma: no-cache\r\n", "application/json",
                    body, strlen(body));
    free(body);
    json_decref(json);
    free(token);
}

static void
on_secret_checked(void *arg, bool is_match)
{
    exchange *ex = arg;

    exchange_end_wait(ex);
    if (!ex->is_client_known)
        refuse(ex, "unknown client");
    else if (!is_match)
        refuse(ex, "wrong secret");
    else if (!ex->is_client_allowed)
        refuse(ex, "disabled client");
    else
        answer_token(ex);
}

static void
abandon_check(void *awaited)
{
    secret_check_abandon(awaited);
}

/* Reads id and secret from the header or the form. Returns false unless both are there. */
static bool
read_credentials(exchange *ex, const form_field fields[3], credentials *given)
{
    const char *authorization = http_get_header(ex->request, "Authorization");

    if (form_read_basic(authorization, &given->id, &given->secret)) {
        exchange_note(ex, FIELD_TOKEN_CREDS_FROM, "header");
    } else if (fields[0].value != NULL && fields[1].value != NULL) {
        exchange_note(ex, FIELD_TOKEN_CREDS_FROM, "form");
        given->id = xstrdup(fields[0].value);
        given->secret = xstrdup(fields[1].value);
    }
    return given->id != NULL && given->id[0] != '\0' && given->secret[0] != '\0';
}

static bool
is_known_grant(const char *type)
{
    return type == NULL || type[0] == '\0' || strcmp(type, "client_credentials") == 0 ||
           strcmp(type, "refresh_token") == 0;
}

/*
 * Called a second time after the database has answered, so that the secret need not be kept
 * meanwhile.
 */
static bool
read_form(exchange *ex, credentials *given, const char **problem)
{
    const http_request *request = ex->request;
    form_field fields[3] = {{"client_id", NULL}, {"client_secret", NULL}, {"grant_type", NULL}};

    *problem = NULL;
    if (!form_read(http_get_header(request, "Content-Type"), request->body ? request->body : "",
                   request->body_length, fields, 3))
        *problem = "not a form";
    else if (!is_known_grant(fields[2].value))
        *problem = "unknown grant type";
    else if (!read_credentials(ex, fields, given))
        *problem = "no credentials";
    if (fields[1].value != NULL)
        explicit_bzero(fields[1].value, strlen(fields[1].value));
    form_free(fields, 3);
    return *problem == NULL;
}

static void
on_client(void *arg, const pg_reply *reply)
{
    exchange *ex = arg;
    credentials given = {NULL, NULL};
    const char *hash = NULL;
    const char *problem;

    exchange_end_wait(ex);
    if (reply->status != PG_OK) {
        resource_answer_error(ex, reply);
        return;
    }
    if (!read_form(ex, &given, &problem)) {
        forget(&given);
        refuse(ex, problem);
        return;
    }
    if (PQntuples(reply->result) == 1) {
        ex->is_client_known = true;
        ex->is_client_allowed = PQgetvalue(reply->result, 0, 1)[0] == 't';
        hash = PQgetvalue(reply->result, 0, 2);
    }
    /* This is also done for unknown clients, so that the time taken reveals nothing. */
    exchange_wait(ex,
                  secret_check_begin(ex->app->secrets, hash, given.secret, on_secret_checked, ex),
                  abandon_check);
    forget(&given);
    if (ex->awaited == NULL)
        exchange_answer_unavailable(ex, "too many secrets are being verified");
}

void
token_handle_grant(exchange *ex)
{
    credentials given = {NULL, NULL};
    const char *problem;

    if (ex->request->is_body_too_large) {
        exchange_answer_detail(ex, 413, "Request body too large");
        return;
    }
    if (!read_form(ex, &given, &problem)) {
        forget(&given);
        refuse(ex, problem);
        return;
    }
    ex->client_id = xstrdup(given.id);
    forget(&given);
    exchange_query(ex, &get_client, (const char *const[]){ex->client_id}, on_client);
}
