/* token.c: POST /token, the OAuth2 client credentials grant; see token.h. */
#include "rest/token.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "rest/http/form.h"
#include "rest/resource.h"

/* A code of RFC 6749, 5.2; it is the same for an unknown client and a wrong secret. */
#define INVALID_CLIENT "invalid_client"

/* The credentials of a token request. The secret is wiped when they are freed. */
typedef struct credentials {
    char *id;
    char *secret;
} credentials;

/* The scopes that a token is asked for. */
typedef struct scope_request {
    bool is_given;
    bool is_known; /* all of its names are */
    scope_set scopes;
} scope_request;

/* A request whose secret is being checked. */
typedef struct grant {
    exchange *ex;
    api_client client;
    scope_request asked;
    secret_check *check;
} grant;

static const pg_statement get_client = {
    .sql = "SELECT " API_CLIENT_COLUMNS " FROM ctms.get_api_client($1::text) AS c",
    .parameter_count = 1,
    .is_read_only = true,
    .columns = API_CLIENT_COLUMN_NAMES,
    .rows = PG_ANY_ROWS,
};

static const pg_statement get_costs = {
    .sql = "SELECT cost, clients FROM ctms.api_client_costs()",
    .is_read_only = true,
    .columns = "cost,clients",
    .rows = PG_ANY_ROWS,
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

/* error: a code of RFC 6749, 5.2. */
static void
answer_error(exchange *ex, int status, const char *error, const char *detail)
{
    buf body = BUF_INIT;

    buf_printf(&body, "{\"detail\":\"%s\",\"error\":\"%s\"}", detail, error);
    exchange_answer(ex, status, NULL, "application/json", body.data, body.length);
    buf_free(&body);
}

/* Credentials are refused in the same way for every reason; only the log has the reason. */
static void
refuse(exchange *ex, const char *error, const char *reason)
{
    exchange_note(ex, FIELD_TOKEN_FAIL, reason);
    answer_error(ex, 400, error, "Incorrect username or password");
}

static void
answer_token(exchange *ex, const api_client *client, const scope_request *asked)
{
    const app *a = ex->app;
    scope_set granted = asked->is_given ? asked->scopes : client->scopes;
    const char *shown;
    buf names = BUF_INIT;
    char *token, *body;
    json_t *json;

    scope_append_names(granted, ' ', &names);
    token = auth_make_token(a->auth, ex->client_id, client,
                            asked->is_given ? buf_text(&names) : NULL, a->token_lifetime_s);
    if (token == NULL) {
        buf_free(&names);
        exchange_answer_failure(ex, "could not sign a token", NULL);
        return;
    }
    shown = asked->is_given || granted != SCOPE_ALL ? buf_text(&names) : NULL;
    json = json_pack("{s:s, s:s, s:I, s:s*}", "access_token", token, "token_type", "bearer",
                     "expires_in", (json_int_t)a->token_lifetime_s, "scope", shown);
    body = json_dumps(json, JSON_COMPACT);
    exchange_answer(ex, 200, "Pragma: no-cache\r\n", "application/json", body, strlen(body));
    free(body);
    json_decref(json);
    buf_free(&names);
    free(token);
}

/* Only a client with its secret learns anything of scopes. */
static void
answer_client(exchange *ex, const api_client *client, const scope_request *asked)
{
    if (asked->is_given &&
        (!asked->is_known || (asked->scopes & ~scope_expand(client->scopes)) != 0)) {
        exchange_note(ex, FIELD_TOKEN_FAIL, "invalid scope");
        answer_error(ex, 400, "invalid_scope", "Unknown scope, or more than the client has");
        return;
    }
    ex->is_client_allowed = true;
    answer_token(ex, client, asked);
}

static void
on_secret_checked(void *arg, secret_result result)
{
    grant *g = arg;
    exchange *ex = g->ex;
    api_client client = g->client;
    scope_request asked = g->asked;

    free(g);
    exchange_end_wait(ex);
    if (result == SECRET_NOT_CHECKED) {
        exchange_answer_unavailable(ex, "too many secrets are being verified");
    } else if (!ex->is_client_known) {
        refuse(ex, INVALID_CLIENT, "unknown client");
    } else if (result == SECRET_DIFFERS) {
        refuse(ex, INVALID_CLIENT, "wrong secret");
    } else if (!client.is_enabled) {
        refuse(ex, INVALID_CLIENT, "disabled client");
    } else {
        answer_client(ex, &client, &asked);
    }
}

static bool
is_grant_awaited(void *arg)
{
    const grant *g = arg;

    return !server_call_is_at_end(g->ex->call);
}

static void
abandon_grant(void *awaited)
{
    grant *g = awaited;

    secret_check_abandon(g->check);
    free(g);
}

/* Reads id and secret from the header or the form. Returns false unless both are there. */
static bool
read_credentials(exchange *ex, const form_field fields[2], credentials *given)
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

/* A form that cannot be used: why, for the log and for the client. */
typedef struct form_problem {
    const char *reason; /* NULL: there is none */
    const char *error;
} form_problem;

static const form_problem not_a_form = {"not a form", "invalid_request"};

/* A body of JSON, say. With credentials in the header its type does not matter. */
static bool
is_of_other_type(const http_request *request)
{
    static const char *const forms[] = {"application/x-www-form-urlencoded", "multipart/form-data"};
    const char *type = http_get_header(request, "Content-Type");

    for (size_t i = 0; type && i < sizeof(forms) / sizeof(*forms); i++) {
        if (strncasecmp(type, forms[i], strlen(forms[i])) == 0)
            return false;
    }
    return type && request->body_length > 0;
}

/*
 * Called a second time after the database has answered, so that the secret need not be kept
 * meanwhile.
 */
static form_problem
read_form(exchange *ex, credentials *given, scope_request *asked)
{
    const http_request *request = ex->request;
    form_field fields[] = {
        {"client_id", NULL}, {"client_secret", NULL}, {"grant_type", NULL}, {"scope", NULL}};
    const size_t count = sizeof(fields) / sizeof(fields[0]);
    form_problem problem = {NULL, NULL};

    if (!form_read(http_get_header(request, "Content-Type"), request->body ? request->body : "",
                   request->body_length, fields, count))
        problem = not_a_form;
    else if (!is_known_grant(fields[2].value))
        problem = (form_problem){"unknown grant type", "unsupported_grant_type"};
    else if (!read_credentials(ex, fields, given))
        problem = is_of_other_type(request) ? not_a_form
                                            : (form_problem){"no credentials", INVALID_CLIENT};
    if (fields[1].value != NULL)
        explicit_bzero(fields[1].value, strlen(fields[1].value));
    /* An empty one counts as left out: RFC 6749, 3.1. */
    if (fields[3].value != NULL && fields[3].value[strspn(fields[3].value, " ")] != '\0') {
        asked->is_given = true;
        asked->is_known = scope_read(fields[3].value, " ", &asked->scopes);
    }
    form_free(fields, count);
    return problem;
}

/*
 * Only here it is known whether what came as the id is one: it may be a secret, or the address of
 * somebody. result: of get_client.
 */
static void
check_secret(exchange *ex, const credentials *given, const scope_request *asked,
             const PGresult *result)
{
    const char *hash = NULL;
    grant *g = xcalloc(1, sizeof(*g));

    g->ex = ex;
    g->asked = *asked;
    if (PQntuples(result) == 1) {
        hash = PQgetvalue(result, 0, API_CLIENT_SECRET_COLUMN);
        auth_read_client(ex->app->auth, given->id, result, &g->client);
        ex->client_id = xstrdup(given->id);
        ex->is_client_known = true;
    }
    /* This is also done for unknown clients, so that the time taken reveals nothing. */
    g->check = secret_check_begin(ex->app->secrets,
                                  &(secret_question){
                                      .address = server_call_host(ex->call),
                                      .client_id = given->id,
                                      .secret = given->secret,
                                      .hash = hash,
                                      .cost = secret_costs_of(ex->app->secret_costs, given->id),
                                      .callback = on_secret_checked,
                                      .is_awaited = is_grant_awaited,
                                      .arg = g,
                                  });
    exchange_wait(ex, g, abandon_grant);
}

static void
on_client(void *arg, const pg_reply *reply)
{
    exchange *ex = arg;
    credentials given = {NULL, NULL};
    scope_request asked = {.is_given = false};
    form_problem problem;

    exchange_end_wait(ex);
    if (reply->status != PG_OK) {
        resource_answer_error(ex, reply);
        return;
    }
    problem = read_form(ex, &given, &asked);
    if (problem.reason != NULL)
        refuse(ex, problem.error, problem.reason);
    else
        check_secret(ex, &given, &asked, reply->result);
    forget(&given);
}

static void
on_costs(void *arg, const pg_reply *reply)
{
    exchange *ex = arg;
    secret_costs *costs = ex->app->secret_costs;

    exchange_end_wait(ex);
    if (reply->status != PG_OK) {
        resource_answer_error(ex, reply);
        return;
    }
    secret_costs_begin(costs, clock_now_s());
    for (int i = 0; i < PQntuples(reply->result); i++)
        secret_costs_add(costs, PQgetvalue(reply->result, i, 0),
                         strtoll(PQgetvalue(reply->result, i, 1), NULL, 10));
    token_handle_grant(ex);
}

void
token_handle_grant(exchange *ex)
{
    credentials given = {NULL, NULL};
    scope_request asked = {.is_given = false};
    form_problem problem;

    if (ex->request->is_body_too_large) {
        answer_error(ex, 413, "invalid_request", "Request body too large");
        return;
    }
    problem = read_form(ex, &given, &asked);
    if (problem.reason != NULL)
        refuse(ex, problem.error, problem.reason);
    else if (secret_costs_are_old(ex->app->secret_costs, clock_now_s()))
        exchange_query(ex, &get_costs, NULL, on_costs);
    else
        exchange_query(ex, &get_client, (const char *const[]){given.id}, on_client);
    forget(&given);
}
