/*
 * http/http.h: parses HTTP/1.1 requests. Knows no sockets and no resources. connection.c parses
 * with it; handlers read the requests.
 *
 * It is strict wherever leniency could let two servers in a row disagree about where a request
 * ends. Lines end with CRLF and nothing else. There is one Content-Length or one "chunked", never
 * both. No folded lines, no blanks before a colon, no empty names. A header that says who the
 * client is, which host it means, or how the body is to be read, may not be given twice. The target
 * and the header Host must be what RFC 9112 3.2 asks for.
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
    HTTP_OTHER, /* any other token; must be the last */
} http_method;

typedef struct http_header {
    const char *name;
    const char *value; /* without blanks around it */
} http_header;

typedef struct http_request {
    char *head; /* the strings point into this */
    size_t head_length;
    http_method method;
    const char *method_name;
    char *target;      /* as uri_normalize_path() leaves it */
    int minor_version; /* 0 or 1; a later one is read as 1 */
    size_t header_count;
    http_header headers[HTTP_HEADERS_MAX];
    bool has_length;
    size_t content_length;
    bool is_chunked;
    bool is_keep_alive;
    bool expects_continue;
    bool is_body_too_large; /* in this case there is no body */
    char *body;             /* followed by a NUL that is not counted; NULL when empty */
    size_t body_length;
} http_request;

/* "GET" and so on; NULL for HTTP_OTHER. */
const char *http_method_name(http_method method);

/*
 * Looks for the end of the head in the bytes that have arrived. *scanned is how far an earlier call
 * came; 0 at first. Returns the length of the head with its empty line, 0 when it is incomplete, -1
 * when a line ends in a way that is not allowed.
 */
long http_find_head_end(const char *data, size_t length, size_t *scanned);

/* Why bytes could not become a request. */
typedef struct http_refusal {
    int status;         /* the status to answer with: 400, 417, 431, 501 or 505 */
    const char *detail; /* text for the client; NULL: the reason phrase of the status */
} http_refusal;

/*
 * Parses a head that http_find_head_end() has found. Returns a request, or NULL and the reason.
 * Free with http_request_free().
 */
http_request *http_parse_head(const char *data, size_t length, http_refusal *refusal);
void http_request_free(http_request *request);

/* The value of a header, NULL when there is none. If there are several, the first one. */
const char *http_get_header(const http_request *request, const char *name);

typedef struct http_chunks {
    enum { CHUNK_SIZE, CHUNK_DATA, CHUNK_END, CHUNK_TRAILER } state;
    size_t left; /* bytes of the current chunk that are still to come */
    size_t trailer_length;
    bool is_done;
} http_chunks;

typedef enum http_chunks_result {
    CHUNKS_MORE, /* in holds less than a whole piece */
    CHUNKS_DONE,
    CHUNKS_BAD,
    CHUNKS_TOO_LARGE, /* the body would be larger than max */
} http_chunks_result;

/* Moves decoded bytes from in to body. chunks is zero before the first call. */
http_chunks_result http_read_chunks(http_chunks *chunks, buf *in, buf *body, size_t max);

const char *http_reason(int status);

#endif
