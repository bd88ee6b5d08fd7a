/*
 * http/connection_write.c: writes answers to the socket. http/connection.c decides what happens
 * when they have been sent, or cannot be sent. See internal.h.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "rest/http/internal.h"

write_result
connection_write_out(server_call *call)
{
    while (call->out_done < call->out.length) {
        ssize_t sent = send(call->fd, call->out.data + call->out_done,
                            call->out.length - call->out_done, MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            event_add(&call->writable, NULL);
            return WRITE_WAITS;
        }
        if (sent < 0)
            return WRITE_FAILED;
        call->out_done += (size_t)sent;
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
                        const char *content_type, const char *body, size_t length)
{
    bool is_head = call->request && call->request->method == HTTP_HEAD;
    char framing[48];

    snprintf(framing, sizeof(framing), "Content-Length: %zu", length);
    connection_write_head(call, status, framing, headers, content_type);
    if (!is_head)
        buf_append(&call->out, body, length);
}
