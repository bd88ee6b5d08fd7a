/* HTTP requests: a head, then what follows it as chunks. uses: rest/http/http.c rest/http/uri.c */
#include <string.h>
#include <strings.h>

#include "rest/http/http.h"
#include "rest/http/uri.h"
#include "test/fuzz/programs/fuzz.h"

#define BODY_MAX 4096

/* Reads the chunks all at once or in pieces, which must give the same body. */
static http_chunks_result
read_chunks(const char *data, size_t size, size_t piece, buf *body)
{
    http_chunks chunks = {0};
    http_chunks_result result = CHUNKS_MORE;
    buf in = {0};

    for (size_t at = 0; at < size && result == CHUNKS_MORE; at += piece) {
        buf_append(&in, data + at, size - at < piece ? size - at : piece);
        result = http_read_chunks(&chunks, &in, body, BODY_MAX);
    }
    FUZZ_CHECK(body->length <= BODY_MAX);
    buf_free(&in);
    return result;
}

/* Headers that may occur only once must occur only once. */
static void
check_headers(const http_request *request)
{
    static const char *const single[] = {"authorization", "content-length", "content-type", "host",
                                         "transfer-encoding"};

    for (size_t i = 0; i < sizeof(single) / sizeof(single[0]); i++) {
        int count = 0;

        for (size_t j = 0; j < request->header_count; j++)
            count += strcasecmp(request->headers[j].name, single[i]) == 0;
        FUZZ_CHECK(count <= 1);
    }
    FUZZ_CHECK(!request->has_length || !request->is_chunked);
    FUZZ_CHECK(request->header_count <= HTTP_HEADERS_MAX);
}

/* A request is for a host, and its target is one of its method. */
static void
check_target(const http_request *request)
{
    const char *host = http_get_header(request, "host");

    FUZZ_CHECK(host != NULL ? uri_is_host(host, strlen(host)) : request->minor_version == 0);
    FUZZ_CHECK(uri_check_target(request->method_name, request->target) == NULL);
    FUZZ_CHECK(request->minor_version == 0 || request->minor_version == 1);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    size_t scanned = 0;
    long end = http_find_head_end(text, size, &scanned);
    http_request *request;
    buf whole = {0};
    buf pieces = {0};
    http_refusal refusal;

    if (end <= 0)
        return 0;
    FUZZ_CHECK((size_t)end <= size);
    request = http_parse_head(text, (size_t)end, &refusal);
    FUZZ_CHECK(request != NULL || (refusal.status >= 400 && refusal.status <= 599));
    if (request != NULL) {
        check_headers(request);
        check_target(request);
        http_request_free(request);
    }
    FUZZ_CHECK(read_chunks(text + end, size - (size_t)end, size + 1, &whole) ==
               read_chunks(text + end, size - (size_t)end, 1, &pieces));
    FUZZ_CHECK(whole.length == pieces.length &&
               (whole.length == 0 || memcmp(whole.data, pieces.data, whole.length) == 0));
    buf_free(&whole);
    buf_free(&pieces);
    return 0;
}
