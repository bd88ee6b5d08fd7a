/*
 * pg_pool_request.c: requests to PostgreSQL, and lists of them: it makes, frees and delivers them.
 * Knows no connections.
 */
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/hash.h"
#include "common/pg_pool_internal.h"

void
pg_pool_list_append(request_list *list, pg_request *request)
{
    request->next = NULL;
    if (list->tail != NULL)
        list->tail->next = request;
    else
        list->head = request;
    list->tail = request;
}

pg_request *
pg_pool_list_take(request_list *list)
{
    pg_request *request = list->head;

    if (request != NULL) {
        list->head = request->next;
        if (list->head == NULL)
            list->tail = NULL;
    }
    return request;
}

static size_t
size_of_texts(const pg_statement *statement, const char *const *values)
{
    size_t size = 0;

    for (int i = 0; i < statement->parameter_count; i++)
        size += values[i] ? strlen(values[i]) + 1 : 0;
    return size;
}

/* Returns where the next text goes. */
static char *
copy_texts(const pg_statement *statement, const char *const *values, const char **copies,
           char *text)
{
    for (int i = 0; i < statement->parameter_count; i++) {
        size_t length = values[i] ? strlen(values[i]) + 1 : 0;

        copies[i] = values[i] ? memcpy(text, values[i], length) : NULL;
        text += length;
    }
    return text;
}

/* The values are stored behind the request, in the same allocation. */
pg_request *
pg_pool_request_new(pg_pool *pool, const pg_statement *statement, const char *const *values,
                    const pg_guard *guard)
{
    size_t own_count = (size_t)statement->parameter_count;
    size_t count = own_count + (guard ? (size_t)guard->statement->parameter_count : 0);
    size_t size = sizeof(pg_request) + count * sizeof(char *) + size_of_texts(statement, values);
    pg_request *request;
    char *text;

    if (guard != NULL)
        size += size_of_texts(guard->statement, guard->values);
    request = xmalloc(size);
    memset(request, 0, sizeof(*request));
    request->pool = pool;
    request->statement = statement;
    request->deadline_s = clock_now_s() + pool->options.timeout_s;
    if (statement->is_keyed && values[0] != NULL)
        request->key = hash_string(0, values[0]) | 1;
    text = copy_texts(statement, values, request->values, (char *)&request->values[count]);
    if (guard != NULL) {
        request->guard = guard->statement;
        copy_texts(guard->statement, guard->values, &request->values[own_count], text);
    }
    return request;
}

static void
forget_results(pg_request *request)
{
    PQclear(request->result);
    PQclear(request->error);
    request->result = request->error = NULL;
    request->is_preparing_guard = request->is_preparing = request->is_guarding = false;
    request->is_guard_refused = request->is_unconfirmed = request->is_executed = false;
}

void
pg_pool_request_free(pg_request *request)
{
    forget_results(request);
    free(request);
}

void
pg_pool_request_deliver_part(pg_request *request, pg_status status, const PGresult *row)
{
    pg_reply reply = {.status = status,
                      .result = row,
                      .sqlstate = "",
                      .message = "",
                      .was_retried = request->was_retried};

    request->has_begun |= status == PG_ROW;
    if (request->callback != NULL)
        request->callback(request->arg, &reply);
}

void
pg_pool_request_answer(pg_request *request, pg_status status, const char *message)
{
    pg_callback callback = request->callback;
    pg_reply reply = {.status = status,
                      .sqlstate = "",
                      .message = message ? message : "",
                      .was_retried = request->was_retried};

    request->callback = NULL;
    if (status == PG_OK)
        reply.result = request->result;
    if (status == PG_ERROR) {
        const char *primary = PQresultErrorField(request->error, PG_DIAG_MESSAGE_PRIMARY);

        reply.sqlstate = PQresultErrorField(request->error, PG_DIAG_SQLSTATE);
        reply.message = primary ? primary : "";
        reply.detail = PQresultErrorField(request->error, PG_DIAG_MESSAGE_DETAIL);
        reply.is_of_guard = request->is_guard_refused;
    }
    if (callback != NULL)
        callback(request->arg, &reply);
}

void
pg_pool_request_deliver(pg_request *request, pg_status status, const char *message)
{
    pg_pool_request_answer(request, status, message);
    pg_pool_request_free(request);
}

void
pg_pool_request_requeue(pg_request *request)
{
    pg_pool *pool = request->pool;
    request_list *queue = &pool->queues[request->lane];

    forget_results(request);
    request->sent_on = NULL;
    request->next = queue->head;
    queue->head = request;
    if (queue->tail == NULL)
        queue->tail = request;
    if (request->callback != NULL)
        pool->queue_count++;
}

pg_request *
pg_pool_request_stand_in(const pg_request *request)
{
    pg_request *stand_in = xcalloc(1, sizeof(*stand_in));

    stand_in->pool = request->pool;
    stand_in->statement = request->statement;
    stand_in->lane = request->lane;
    stand_in->sent_on = request->sent_on;
    stand_in->deadline_s = request->deadline_s;
    stand_in->guard = request->guard;
    stand_in->is_preparing_guard = request->is_preparing_guard;
    stand_in->is_preparing = request->is_preparing;
    stand_in->is_guarding = request->is_guarding;
    stand_in->is_unnamed = request->is_unnamed;
    return stand_in;
}

bool
pg_reply_has_sqlstate(const pg_reply *reply, const char *prefix)
{
    return strncmp(reply->sqlstate, prefix, strlen(prefix)) == 0;
}
