/*
 * http/http.h: HTTP/1.1 requests out of bytes. Knows no sockets and no resources.
 *
 * Strict where leniency lets two servers in a row disagree about where a request ends:
 * lines end with CRLF and nothing else, one Content-Length or one "chunked" and never
 * both, no folded lines, no blanks before a colon, no empty names, and no header twice that tells
 * who asks, whom, or how the body is to be read.
 */
#ifndef CTMS_REST_HTTP_HTTP_H
#define CTMS_REST_HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"

#define HTTP_HEADERS_MAX 64
#define HTTP_HEAD_MAX (32 * 1024)

typedef enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_PATCH,
    HTTP_DELETE,
    HTTP_OTHER, /* any other token; the last */
} http_method;

typedef struct http_header {
    const char *name;
    const char *value; /* without blanks around it */
} http_header;

typedef struct http_request {
    char *head; /* what the strings point into */
    size_t head_length;
    http_method method;
    const char *method_name;
    char *target; /* as sent */
    int minor_version;
    size_t header_count;
    http_header headers[HTTP_HEADERS_MAX];
    bool has_length;
    size_t content_length;
    bool is_chunked;
    bool is_keep_alive;
    bool expects_continue;
    bool is_body_too_large; /* then there is no body */
    char *body;             /* ends with a NUL that does not count; NULL when empty */
    size_t body_length;
} http_request;

/* "GET" and so on; NULL for HTTP_OTHER. */
const char *http_method_name(http_method method);

/*
 * Looks for the end of the head in what has arrived. *scanned is where an earlier call
 * left off, at first 0. Returns the length of the head with its empty line, 0 when it is
 * incomplete, -1 when a line does not end as it must.
 */
long http_find_head_end(const char *data, size_t length, size_t *scanned);

/* Why there is no request. */
typedef struct http_refusal {
    int status;         /* to answer with: 400, 417, 431, 501, 505 */
    const char *detail; /* for the client; NULL: the status says it */
} http_refusal;

/*
 * Parses a head that http_find_head_end() has found. Returns a request, or NULL and why.
 * Free with http_request_free().
 */
http_request *http_parse_head(const char *data, size_t length, http_refusal *refusal);
void http_request_free(http_request *request);

/* Value of a header (of several of that name the first one), NULL when there is none. */
const char *http_get_header(const http_request *request, const char *name);

typedef struct http_chunks {
    enum { CHUNK_SIZE, CHUNK_DATA, CHUNK_END, CHUNK_TRAILER } state;
    size_t left; /* bytes of the current chunk that are still to come */
    size_t trailer_length;
    bool is_done;
} http_chunks;

typedef enum http_chunks_result {
    CHUNKS_MORE, /* in holds less than a piece */
    CHUNKS_DONE,
    CHUNKS_BAD,
    CHUNKS_TOO_LARGE, /* the body would exceed max */
} http_chunks_result;

/* Moves decoded bytes from in to body. chunks is zero before the first call. */
http_chunks_result http_read_chunks(http_chunks *chunks, buf *in, buf *body, size_t max);

const char *http_reason(int status);

#endif
