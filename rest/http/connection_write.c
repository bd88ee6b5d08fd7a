/* http/connection_write.c: answers, whole or in pieces, on their way into the socket. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "rest/http/internal.h"

void
connection_write_out(server_call *call)
{
    while (call->out_done < call->out.length) {
        ssize_t sent = send(call->fd, call->out.data + call->out_done,
                            call->out.length - call->out_done, MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            event_add(&call->writable, NULL);
            return;
        }
        if (sent < 0) {
            connection_close(call, "client is gone");
            return;
        }
        call->out_done += (size_t)sent;
    }
    if (call->state == STATE_WRITING) {
        connection_finish_answer(call);
    } else {
        buf_reset(&call->out);
        call->out_done = 0;
    }
}

static const char *
date_text(server *s)
{
    time_t now = time(NULL);
    struct tm parts;

    if (now != s->date_time) {
        gmtime_r(&now, &parts);
        strftime(s->date, sizeof(s->date), "%a, %d %b %Y %H:%M:%S GMT", &parts);
        s->date_time = now;
    }
    return s->date;
}

/* framing: the header that tells where the body ends. */
static void
put_head(server_call *call, int status, const char *framing, const char *headers,
         const char *content_type)
{
    bool is_old = call->request && call->request->minor_version == 0;

    buf_printf(&call->out, "HTTP/1.1 %d %s\r\nDate: %s\r\n%s\r\n", status, http_reason(status),
               date_text(call->owner), framing);
    if (content_type != NULL)
        buf_printf(&call->out, "Content-Type: %s\r\n", content_type);
    if (headers != NULL)
        buf_append_string(&call->out, headers);
    if (call->will_close)
        buf_append_string(&call->out, "Connection: close\r\n");
    else if (is_old)
        buf_append_string(&call->out, "Connection: keep-alive\r\n");
    buf_append(&call->out, "\r\n", 2);
}

void
connection_put_answer(server_call *call, int status, const char *headers, const char *content_type,
                      const char *body, size_t length)
{
    bool is_head = call->request && call->request->method == HTTP_HEAD;
    char framing[48];

    snprintf(framing, sizeof(framing), "Content-Length: %zu", length);
    put_head(call, status, framing, headers, content_type);
    if (!is_head)
        buf_append(&call->out, body, length);
    call->state = STATE_WRITING;
    connection_write_out(call);
}

static bool
is_last_answer(const server_call *call)
{
    return !call->request->is_keep_alive || call->request->is_body_too_large ||
           call->owner->drain_deadline_s != 0;
}

void
server_answer(server_call *call, int status, const char *headers, const char *content_type,
              const char *body, size_t length)
{
    if (is_last_answer(call))
        call->will_close = true;
    connection_put_answer(call, status, headers, content_type, body, length);
    connection_advance(call);
}

/* ---- writing in pieces ----------------------------------------------------------- */

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
    put_head(call, status, "Transfer-Encoding: chunked", headers, content_type);
}

void
server_stream(server_call *call, const char *piece, size_t length)
{
    /* A chunk of no bytes would be the end. */
    if (length == 0)
        return;
    buf_printf(&call->out, "%zx\r\n", length);
    buf_append(&call->out, piece, length);
    buf_append(&call->out, "\r\n", 2);
    connection_write_out(call);
    connection_count_buffered(call);
}

void
server_end_stream(server_call *call)
{
    buf_append_string(&call->out, "0\r\n\r\n");
    call->state = STATE_WRITING;
    connection_write_out(call);
    connection_advance(call);
}

void
server_break_stream(server_call *call)
{
    /* No longer with the receiver, who knows. */
    call->state = STATE_WRITING;
    connection_close(call, "");
}
