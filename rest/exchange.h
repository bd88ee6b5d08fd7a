/*
 * exchange.h: one request: what is known of it, its answer, and its line in the log.
 *
 * dispatch.c makes it. It is answered exactly once, at once or later, usually by the handler of its
 * route. An exchange is freed by its answer, or when the client disconnects.
 */
#ifndef CTMS_REST_EXCHANGE_H
#define CTMS_REST_EXCHANGE_H

#include <jansson.h>

#include "common/scope.h"
#include "rest/app.h"
#include "rest/http/uri.h"

struct route;

/* The reason for exchange_answer_unavailable() when the pool does not take a request. */
#define EXCHANGE_NO_DATABASE "the database is away or too busy"

/*
 * Fields that only some lines of the log have, in the order of the line: the name in the log, and
 * whether the text is JSON already.
 */
#define EXCHANGE_FIELDS(FIELD)                                                                     \
    FIELD(AUTH_FAIL, "auth_fail", false)                                                           \
    FIELD(TOKEN_FAIL, "token_fail", false)                                                         \
    FIELD(TOKEN_CREDS_FROM, "token_creds_from", false)                                             \
    FIELD(REASON, "reason", false)                                                                 \
    FIELD(INGEST_ACTIONS, "ingest_actions", true)                                                  \
    FIELD(INGEST_ERRORS, "ingest_errors", true)                                                    \
    FIELD(INGEST_WARNINGS, "ingest_warnings", true)                                                \
    FIELD(INGEST_KEPT, "ingest_kept", true)                                                        \
    FIELD(FXA_ID_CONFLICT, "fxa_id_conflict", false)                                               \
    FIELD(PUBSUB_ISS, "pubsub_iss", true)                                                          \
    FIELD(PUBSUB_AUD, "pubsub_aud", true)                                                          \
    FIELD(PUBSUB_AZP, "pubsub_azp", true)                                                          \
    FIELD(PUBSUB_SUB, "pubsub_sub", true)                                                          \
    FIELD(PUBSUB_EMAIL, "pubsub_email", true)                                                      \
    FIELD(PUBSUB_EMAIL_VERIFIED, "pubsub_email_verified", true)                                    \
    FIELD(PUBSUB_IAT, "pubsub_iat", true)                                                          \
    FIELD(PUBSUB_EXP, "pubsub_exp", true)                                                          \
    FIELD(PUBSUB_MESSAGE_ID, "pubsub_message_id", true)                                            \
    FIELD(TRACE, "trace", false)                                                                   \
    FIELD(TRACE_JSON, "trace_json", true)

/* TRACE has the addresses that asked to be traced; TRACE_JSON is logged instead of the body. */
typedef enum exchange_field {
#define EXCHANGE_FIELD(field, name, is_json) FIELD_##field,
    EXCHANGE_FIELDS(EXCHANGE_FIELD)
#undef EXCHANGE_FIELD
        FIELD_COUNT,
} exchange_field;

typedef struct exchange {
    app *app;
    server_call *call;
    const http_request *request;
    double started_s;

    /* The target. */
    const struct route *route; /* NULL: no such path or method */
    const char *path_template; /* of the route, or of another method's route; "" if unknown */
    const char *path;          /* still encoded, but for what needs no encoding */
    size_t path_length;
    uri_text path_value; /* decoded value of the path's parameter; data NULL when it has none */
    uri_query query;
    bool has_too_many_parameters; /* more than query can hold */
    char rid[64];                 /* X-Request-Id, or one that we made */
    bool is_rid_ours;             /* we made rid */

    /* The client. */
    char *client_id; /* NULL: unknown */
    bool is_client_known;
    bool is_client_allowed;

    /* Fields of the log line that were noted; NULL: none. */
    char *fields[FIELD_COUNT];

    /* An answer that is sent in parts. */
    buf first_part;
    bool is_streaming; /* its head has been sent */

    /* What the exchange waits for, and the function to call when it is no longer wanted. */
    void *awaited; /* NULL: nothing */
    void (*abandon)(void *awaited);
} exchange;

/* Reads the target and the id of the request; makes the exchange the context of the call. */
exchange *exchange_new(app *a, server_call *call, const http_request *request);
/* For server_events; arg is the app. */
void exchange_overdue(void *arg, server_call *call);
void exchange_gone(void *arg, server_call *call, const char *why);

/* The answers; each of them ends the exchange. headers: see server_answer(). */
void exchange_answer(exchange *ex, int status, const char *headers, const char *content_type,
                     const char *body, size_t length);
/* The same with a body that lives as long as the server; it is not copied. */
void exchange_answer_fixed(exchange *ex, int status, const char *headers, const char *content_type,
                           const char *body, size_t length);
/*
 * A JSON answer with status 200 that consists of one or more parts. It is streamed if it has
 * several parts and the client can read chunks. It can be broken off only after streaming has
 * begun.
 */
void exchange_add_part(exchange *ex, const char *part, size_t length);
void exchange_end_parts(exchange *ex);
/* status is for the log: the status that would have been answered. sqlstate may be NULL. */
void exchange_break_parts(exchange *ex, int status, const char *why, const char *sqlstate);
void exchange_answer_json(exchange *ex, int status, const char *json);
/* {"detail": text} */
void exchange_answer_detail(exchange *ex, int status, const char *detail);
void exchange_answer_detail_with(exchange *ex, int status, const char *headers, const char *detail);
/* {"detail": text, "reason": text}; the reason, which is the database's own words, is logged. */
void exchange_answer_reason(exchange *ex, int status, const char *detail, const char *reason);
/* 401 with the challenge of RFC 6750, 3: there is no bearer token, or it is not to be used. */
void exchange_answer_no_token(exchange *ex);
void exchange_answer_bad_token(exchange *ex);
/* 403: the token is good, but not for what needs these scopes. */
void exchange_answer_lacks_scope(exchange *ex, scope_set needed);
/* 422 with one error at [where, name], or at [where] when name is NULL. */
void exchange_answer_invalid(exchange *ex, const char *where, const char *name, const char *message,
                             const char *type);
/* 422 with one error at ["body", offset]. */
void exchange_answer_bad_body(exchange *ex, size_t offset, const char *message);
/* 503 with Retry-After; why is for the log. */
void exchange_answer_unavailable(exchange *ex, const char *why);
/*
 * 500, with the id of the request, under which the log has the reason. The error is reported to
 * Sentry, without the reason if that comes from the database (sqlstate is not NULL).
 */
void exchange_answer_failure(exchange *ex, const char *why, const char *sqlstate);

/*
 * The exchange waits for a callback, which begins with exchange_end_wait(). If the time limit
 * passes or the client disconnects before that, abandon() is called instead.
 */
void exchange_wait(exchange *ex, void *awaited, void (*abandon)(void *awaited));
void exchange_end_wait(exchange *ex);

/* Until when the requests to the database that the exchange makes may take, all of them together.
 */
double exchange_database_deadline_s(const exchange *ex);

/* Notes a field for the log line; a later text replaces an earlier one. NULL changes nothing. */
void exchange_note(exchange *ex, exchange_field field, const char *text);
void exchange_note_json(exchange *ex, exchange_field field, const json_t *value);
/* As exchange_note_json(), of what a caller sent: only identifiers in it are shown (log_rules.h).
 */
void exchange_note_report(exchange *ex, exchange_field field, const json_t *value);
/* The identifiers in a list, separated by commas; an empty list changes nothing. */
void exchange_note_list(exchange *ex, exchange_field field, const json_t *list);

/* Notes why a request was refused, in our own words, unless these may hold an address. */
void exchange_note_reason(exchange *ex, const char *reason);

/*
 * Sends a statement and waits for it; the callback gets the exchange as its arg. Answers 503 when
 * the database is away.
 */
void exchange_query(exchange *ex, const pg_statement *statement, const char *const *values,
                    pg_callback callback);
/* The same, but each row is delivered as soon as it arrives. */
void exchange_query_rows(exchange *ex, const pg_statement *statement, const char *const *values,
                         pg_callback callback);
/* Like exchange_query(), but returns false, without an answer, when the database is away. */
bool exchange_try_query(exchange *ex, const pg_statement *statement, const char *const *values,
                        pg_callback callback);

#endif
