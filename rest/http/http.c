/* http/http.c: parses HTTP/1.1 requests; see http.h. */
#include "rest/http/http.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "rest/http/uri.h"

#define CHUNK_LINE_MAX 256
#define TRAILER_MAX (8 * 1024)
/* Far above every limit, and far below an overflow. */
#define LENGTH_MAX ((size_t)1 << 40)

static bool
is_token_char(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool
is_token(const char *text)
{
    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        if (!is_token_char((unsigned char)*text))
            return false;
    }
    return true;
}

long
http_find_head_end(const char *data, size_t length, size_t *scanned)
{
    const char *end;

    while (*scanned < length && (end = memchr(data + *scanned, '\n', length - *scanned)) != NULL) {
        size_t at = (size_t)(end - data);

        if (at == 0 || data[at - 1] != '\r')
            return -1;
        *scanned = at + 1;
        if (at == 1 || (at >= 3 && data[at - 2] == '\n'))
            return (long)at + 1;
    }
    *scanned = length;
    return 0;
}

/* ---- request line --------------------------------------------------------- */

const char *
http_method_name(http_method method)
{
    switch (method) {
    case HTTP_GET: return "GET";
    case HTTP_HEAD: return "HEAD";
    case HTTP_POST: return "POST";
    case HTTP_PUT: return "PUT";
    case HTTP_PATCH: return "PATCH";
    case HTTP_DELETE: return "DELETE";
    case HTTP_OTHER: break;
    }
    return NULL;
}

static http_method
method_of(const char *name)
{
    http_method method = HTTP_GET;

    while (method != HTTP_OTHER && strcmp(name, http_method_name(method)) != 0)
        method++;
    return method;
}

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Returns 0, or the status to answer with. Puts a NUL behind each of the three parts. */
static int
parse_request_line(http_request *request, char *line, const char **detail)
{
    char *target = strchr(line, ' ');
    char *version = target ? strchr(target + 1, ' ') : NULL;

    if (version == NULL)
        return 400;
    *target++ = '\0';
    *version++ = '\0';
    if (!is_token(line) || strlen(line) > 32 || *target == '\0')
        return 400;
    for (const char *c = target; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x21 || *c == 0x7F)
            return 400;
    }
    if (strncmp(version, "HTTP/", 5) != 0 || strlen(version) != 8 || !is_digit(version[5]) ||
        version[6] != '.' || !is_digit(version[7]))
        return 400;
    if (version[5] != '1')
        return 505;
    *detail = uri_check_target(line, target);
    if (*detail != NULL)
        return 400;
    uri_normalize_path(target);
    request->method = method_of(line);
    request->method_name = line;
    request->target = target;
    request->minor_version = version[7] == '0' ? 0 : 1;
    return 0;
}

/* ---- headers ------------------------------------------------------------------ */

static int
parse_header(http_request *request, char *line)
{
    char *colon = strchr(line, ':');
    char *value, *end;

    if (request->header_count == HTTP_HEADERS_MAX)
        return 431;
    if (colon == NULL)
        return 400;
    *colon = '\0';
    if (!is_token(line))
        return 400;
    value = colon + 1 + strspn(colon + 1, " \t");
    end = value + strlen(value);
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        *--end = '\0';
    for (const char *c = value; *c != '\0'; c++) {
        if (((unsigned char)*c < 0x20 && *c != '\t') || *c == 0x7F)
            return 400;
    }
    request->headers[request->header_count].name = line;
    request->headers[request->header_count++].value = value;
    return 0;
}

static int
read_content_length(http_request *request, const char *value)
{
    size_t number = 0;

    if (*value == '\0' || strlen(value) > 18)
        return 400;
    for (; *value != '\0'; value++) {
        if (!is_digit(*value))
            return 400;
        number = number * 10 + (size_t)(*value - '0');
    }
    request->has_length = true;
    request->content_length = number;
    return 0;
}

static int
read_transfer_encoding(http_request *request, const char *value)
{
    if (request->minor_version == 0)
        return 400;
    if (strcasecmp(value, "chunked") != 0)
        return 501;
    request->is_chunked = true;
    return 0;
}

/* True if word is an element of a comma-separated list. */
static bool
list_contains(const char *list, const char *word)
{
    size_t length = strlen(word);

    while (*list != '\0') {
        size_t item;

        list += strspn(list, ", \t");
        item = strcspn(list, ", \t");
        if (item == length && strncasecmp(list, word, length) == 0)
            return true;
        list += item;
    }
    return false;
}

typedef enum header_kind {
    HEADER_AUTHORIZATION,
    HEADER_CONNECTION,
    HEADER_CONTENT_LENGTH,
    HEADER_CONTENT_TYPE,
    HEADER_EXPECT,
    HEADER_HOST,
    HEADER_TRANSFER_ENCODING,
    HEADER_OTHER,
} header_kind;

static const struct {
    const char *name;
    const char *twice; /* the error when it is given twice; NULL: it may be a list */
} known_headers[] = {
    [HEADER_AUTHORIZATION] = {"authorization", "more than one Authorization header"},
    [HEADER_CONNECTION] = {"connection", NULL},
    [HEADER_CONTENT_LENGTH] = {"content-length", "more than one Content-Length header"},
    [HEADER_CONTENT_TYPE] = {"content-type", "more than one Content-Type header"},
    [HEADER_EXPECT] = {"expect", NULL},
    [HEADER_HOST] = {"host", "more than one Host header"},
    [HEADER_TRANSFER_ENCODING] = {"transfer-encoding", "more than one Transfer-Encoding header"},
};
_Static_assert(sizeof(known_headers) / sizeof(known_headers[0]) == HEADER_OTHER,
               "a kind of header has no name");

static header_kind
kind_of(const char *name)
{
    header_kind kind = 0;

    /* This runs for every header of every request; the first letter is usually enough. */
    while (kind < HEADER_OTHER && (known_headers[kind].name[0] != (name[0] | 0x20) ||
                                   strcasecmp(known_headers[kind].name, name) != 0))
        kind++;
    return kind;
}

static int
read_host(const char *value, const char **detail)
{
    if (uri_is_host(value, strlen(value)))
        return 0;
    *detail = *value == '\0' ? "empty Host header" : "invalid Host header";
    return 400;
}

static int
read_header(http_request *request, header_kind kind, const char *value, bool *is_last,
            const char **detail)
{
    switch (kind) {
    case HEADER_HOST: return read_host(value, detail);
    case HEADER_CONTENT_LENGTH: return read_content_length(request, value);
    case HEADER_TRANSFER_ENCODING: return read_transfer_encoding(request, value);
    case HEADER_CONNECTION:
        *is_last |= list_contains(value, "close");
        request->is_keep_alive |= list_contains(value, "keep-alive");
        return 0;
    case HEADER_EXPECT:
        request->expects_continue = request->minor_version == 1;
        return strcasecmp(value, "100-continue") == 0 ? 0 : 417;
    case HEADER_AUTHORIZATION:
    case HEADER_CONTENT_TYPE:
    case HEADER_OTHER: break;
    }
    return 0;
}

/* Reads what the headers say about the body and the connection. */
static int
interpret_headers(http_request *request, const char **detail)
{
    unsigned seen = 0;
    bool is_last = false;
    int status = 0;

    request->is_keep_alive = request->minor_version == 1;
    for (size_t i = 0; i < request->header_count && status == 0; i++) {
        header_kind kind = kind_of(request->headers[i].name);
        unsigned bit = 1U << kind;

        if (kind == HEADER_OTHER)
            continue;
        if ((seen & bit) != 0 && known_headers[kind].twice != NULL) {
            *detail = known_headers[kind].twice;
            return 400;
        }
        seen |= bit;
        status = read_header(request, kind, request->headers[i].value, &is_last, detail);
    }
    if (is_last)
        request->is_keep_alive = false;
    if (status != 0)
        return status;
    if ((seen & (1U << HEADER_HOST)) == 0 && request->minor_version == 1) {
        *detail = "no Host header";
        return 400;
    }
    return request->has_length && request->is_chunked ? 400 : 0;
}

static int
parse_lines(http_request *request, char *text, size_t length, const char **detail)
{
    char *end = text + length - 2; /* before the empty line */
    int status = 0;
    bool is_first = true;

    if (memchr(text, '\0', length) != NULL)
        return 400;
    while (text < end && status == 0) {
        char *line_end = strstr(text, "\r\n");

        *line_end = '\0';
        if (strchr(text, '\r') != NULL)
            return 400;
        /* A folded line fails here too: it begins with a blank, and a token never does. */
        status = is_first ? parse_request_line(request, text, detail) : parse_header(request, text);
        is_first = false;
        text = line_end + 2;
    }
    if (is_first)
        return 400;
    return status ? status : interpret_headers(request, detail);
}

http_request *
http_parse_head(const char *data, size_t length, http_refusal *refusal)
{
    http_request *request = xcalloc(1, sizeof(*request));

    request->head = xstrndup(data, length);
    request->head_length = length;
    refusal->detail = NULL;
    refusal->status =
        length < 4 ? 400 : parse_lines(request, request->head, length, &refusal->detail);
    if (refusal->status != 0) {
        http_request_free(request);
        return NULL;
    }
    return request;
}

void
http_request_free(http_request *request)
{
    if (request == NULL)
        return;
    free(request->head);
    free(request->body);
    free(request);
}

const char *
http_get_header(const http_request *request, const char *name)
{
    for (size_t i = 0; i < request->header_count; i++) {
        if (strcasecmp(request->headers[i].name, name) == 0)
            return request->headers[i].value;
    }
    return NULL;
}

/* ---- chunked bodies ---------------------------------------------------------------- */

/* Length of the line at data without its CRLF; -1: incomplete, -2: bad. */
static long
line_length(const char *data, size_t available, size_t max)
{
    const char *end = available ? memchr(data, '\n', available) : NULL;
    size_t length;

    if (end == NULL)
        return available > max ? -2 : -1;
    length = (size_t)(end - data);
    if (length == 0 || length > max || end[-1] != '\r')
        return -2;
    length--;
    for (size_t i = 0; i < length; i++) {
        if (((unsigned char)data[i] < 0x20 && data[i] != '\t') || data[i] == 0x7F)
            return -2;
    }
    return (long)length;
}

/* The size at the front of a chunk line; an extension behind ";" is ignored. */
static bool
parse_chunk_size(const char *line, size_t length, size_t *size)
{
    size_t digits = 0;

    *size = 0;
    for (; digits < length; digits++) {
        char c = line[digits];

        if (c >= '0' && c <= '9')
            *size = *size * 16 + (size_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            *size = *size * 16 + (size_t)(c - 'a' + 10);
        else if (c >= 'A' && c <= 'F')
            *size = *size * 16 + (size_t)(c - 'A' + 10);
        else
            break;
        if (*size > LENGTH_MAX)
            return false;
    }
    return digits > 0 && (digits == length || line[digits] == ';');
}

/*
 * Each of these reads one piece. They set how many bytes they used, and return CHUNKS_DONE when the
 * piece was complete.
 */
static http_chunks_result
read_chunk_size(http_chunks *chunks, const char *data, size_t length, size_t room, size_t *used)
{
    long line = line_length(data, length, CHUNK_LINE_MAX);

    if (line < 0)
        return line == -1 ? CHUNKS_MORE : CHUNKS_BAD;
    if (!parse_chunk_size(data, (size_t)line, &chunks->left))
        return CHUNKS_BAD;
    if (chunks->left > room)
        return CHUNKS_TOO_LARGE;
    *used = (size_t)line + 2;
    chunks->state = chunks->left == 0 ? CHUNK_TRAILER : CHUNK_DATA;
    return CHUNKS_DONE;
}

static http_chunks_result
read_chunk_data(http_chunks *chunks, const char *data, size_t length, buf *body, size_t *used)
{
    *used = length < chunks->left ? length : chunks->left;
    if (*used == 0)
        return CHUNKS_MORE;
    buf_append(body, data, *used);
    chunks->left -= *used;
    if (chunks->left == 0)
        chunks->state = CHUNK_END;
    return CHUNKS_DONE;
}

static http_chunks_result
read_chunk_end(http_chunks *chunks, const char *data, size_t length, size_t *used)
{
    if (length < 2)
        return CHUNKS_MORE;
    if (memcmp(data, "\r\n", 2) != 0)
        return CHUNKS_BAD;
    *used = 2;
    chunks->state = CHUNK_SIZE;
    return CHUNKS_DONE;
}

/* Trailers are read and ignored; the empty line ends the body. */
static http_chunks_result
read_trailer(http_chunks *chunks, const char *data, size_t length, size_t *used)
{
    long line = line_length(data, length, TRAILER_MAX);

    if (line < 0)
        return line == -1 ? CHUNKS_MORE : CHUNKS_BAD;
    *used = (size_t)line + 2;
    chunks->trailer_length += *used;
    if (chunks->trailer_length > TRAILER_MAX)
        return CHUNKS_BAD;
    if (line == 0)
        chunks->is_done = true;
    return CHUNKS_DONE;
}

http_chunks_result
http_read_chunks(http_chunks *chunks, buf *in, buf *body, size_t max)
{
    http_chunks_result result = CHUNKS_DONE;
    size_t at = 0;

    while (result == CHUNKS_DONE && !chunks->is_done) {
        const char *data = buf_text(in) + at;
        size_t length = in->length - at;
        size_t used = 0;

        switch (chunks->state) {
        case CHUNK_SIZE:
            result = read_chunk_size(chunks, data, length, max - body->length, &used);
            break;
        case CHUNK_DATA: result = read_chunk_data(chunks, data, length, body, &used); break;
        case CHUNK_END: result = read_chunk_end(chunks, data, length, &used); break;
        case CHUNK_TRAILER: result = read_trailer(chunks, data, length, &used); break;
        }
        at += used;
    }
    buf_consume(in, at);
    return result;
}

const char *
http_reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {307, "Temporary Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {413, "Content Too Large"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Content"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {505, "HTTP Version Not Supported"},
    };

    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        if (reasons[i].status == status)
            return reasons[i].reason;
    }
    return "Unknown";
}
