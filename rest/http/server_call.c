/*
 * http/server_call.c: what the receiver of a request may do with it: ask for the client's address,
 * and answer. See server.h.
 */
#include "rest/http/internal.h"

const char *
server_call_host(const server_call *call)
{
    return call->host;
}

int
server_call_port(const server_call *call)
{
    return call->port;
}

bool
server_call_is_at_end(const server_call *call)
{
    return call->is_at_end;
}

void
server_call_set_context(server_call *call, void *context)
{
    call->context = context;
}

void *
server_call_context(const server_call *call)
{
    return call->context;
}

/* ---- a whole answer --------------------------------------------------------------- */

static bool
is_last_answer(const server_call *call)
{
    return !call->request->is_keep_alive || call->request->is_body_too_large ||
           call->owner->drain_deadline_s != 0;
}

static void
give_answer(server_call *call, int status, const char *headers, const char *content_type,
            const char *body, size_t length, bool is_fixed)
{
    if (is_last_answer(call))
        call->will_close = true;
    connection_write_answer(call, status, headers, content_type, body, length, is_fixed);
    call->state = STATE_WRITING;
    connection_flush(call);
    connection_advance(call);
}

void
server_answer(server_call *call, int status, const char *headers, const char *content_type,
              const char *body, size_t length)
{
    give_answer(call, status, headers, content_type, body, length, false);
}

void
server_answer_fixed(server_call *call, int status, const char *headers, const char *content_type,
                    const char *body, size_t length)
{
    give_answer(call, status, headers, content_type, body, length, true);
}

/* ---- an answer in pieces ----------------------------------------------------------- */

bool
server_can_stream(const server_call *call)
{
    return call->request->minor_version > 0 && call->request->method != HTTP_HEAD;
}

void
server_begin_stream(server_call *call, int status, const char *headers, const char *content_type)
{
    if (is_last_answer(call))
        call->will_close = true;
    connection_write_head(call, status, "Transfer-Encoding: chunked", headers, content_type);
}

void
server_stream(server_call *call, const char *piece, size_t length)
{
    /* An empty chunk would end the answer. */
    if (length == 0)
        return;
    buf_printf(&call->out, "%zx\r\n", length);
    buf_append(&call->out, piece, length);
    buf_append(&call->out, "\r\n", 2);
    connection_flush(call);
    connection_count_buffered(call);
}

void
server_end_stream(server_call *call)
{
    buf_append_string(&call->out, "0\r\n\r\n");
    call->state = STATE_WRITING;
    connection_flush(call);
    connection_advance(call);
}

void
server_break_stream(server_call *call)
{
    /* The receiver knows that it broke off, so it is not told that the call is gone. */
    call->state = STATE_WRITING;
    connection_close(call, "");
}
