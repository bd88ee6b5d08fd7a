/*
 * http/connection_write.c: writes answers to the socket. http/connection.c decides what happens
 * when they have been sent, or cannot be sent. See internal.h.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "rest/http/internal.h"

/* Sends once: of the bytes of the answer that are a copy, or then of those that are not. */
static ssize_t
send_some(server_call *call)
{
    size_t left = call->out.length - call->out_done;
    ssize_t sent;

    if (left > 0) {
        sent = send(call->fd, call->out.data + call->out_done, left,
                    MSG_NOSIGNAL | (call->fixed_length > 0 ? MSG_MORE : 0));
        if (sent > 0)
            call->out_done += (size_t)sent;
        return sent;
    }
    sent = send(call->fd, call->fixed, call->fixed_length, MSG_NOSIGNAL);
    if (sent > 0) {
        call->fixed += sent;
        call->fixed_length -= (size_t)sent;
    }
    return sent;
}

write_result
connection_write_out(server_call *call)
{
    while (call->out_done < call->out.length || call->fixed_length > 0) {
        ssize_t sent = send_some(call);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            event_add(&call->writable, NULL);
            return WRITE_WAITS;
        }
        if (sent < 0)
            return WRITE_FAILED;
    }
    buf_reset(&call->out);
    call->out_done = 0;
    return WRITE_DONE;
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

void
connection_write_head(server_call *call, int status, const char *framing, const char *headers,
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
connection_write_answer(server_call *call, int status, const char *headers,
                        const char *content_type, const char *body, size_t length, bool is_fixed)
{
    bool is_head = call->request && call->request->method == HTTP_HEAD;
    char framing[48];

    snprintf(framing, sizeof(framing), "Content-Length: %zu", length);
    connection_write_head(call, status, framing, headers, content_type);
    if (is_head)
        return;
    if (is_fixed) {
        call->fixed = body;
        call->fixed_length = length;
    } else {
        buf_append(&call->out, body, length);
    }
}
