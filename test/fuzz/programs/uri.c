/* Targets and queries. uses: rest/http/uri.c */
#include <string.h>

#include "rest/http/uri.h"
#include "test/fuzz/programs/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *target = malloc(size + 1);
    const char *path, *query;
    size_t length;
    uri_query parameters;
    buf encoded = {0};
    uri_text decoded;

    FUZZ_CHECK(target != NULL);
    if (size > 0)
        memcpy(target, data, size);
    target[size] = '\0';
    uri_split(target, &path, &length, &query);
    decoded = uri_decode(path, length, false);
    uri_is_text(&decoded);
    free(decoded.data);
    uri_is_uuid(target);
    if (uri_parse_query(target, size, &parameters)) {
        FUZZ_CHECK(parameters.count <= URI_PARAMETERS_MAX);
        uri_query_get(&parameters, "limit");
    }
    uri_query_free(&parameters);
    /* Encoding and decoding must give the same text. */
    uri_encode(&encoded, target, size);
    decoded = uri_decode(encoded.data ? encoded.data : "", encoded.length, true);
    FUZZ_CHECK(decoded.length == size && memcmp(decoded.data, target, size) == 0);
    free(decoded.data);
    buf_free(&encoded);
    free(target);
    return 0;
}
