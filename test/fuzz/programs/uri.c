/* Targets and queries. uses: rest/http/uri.c */
#include <string.h>

#include "rest/http/uri.h"
#include "test/fuzz/programs/fuzz.h"

/* A path that is normalised means the same, and normalising it again changes nothing. */
static void
check_normalizing(const char *target, const uri_text *decoded)
{
    char *once = xstrdup(target), *twice;
    const char *path, *query;
    size_t length;
    uri_text again;

    uri_normalize_path(once);
    uri_split(once, &path, &length, &query);
    again = uri_decode(path, length, false);
    FUZZ_CHECK(again.length == decoded->length &&
               memcmp(again.data, decoded->data, again.length) == 0);
    twice = xstrdup(once);
    uri_normalize_path(twice);
    FUZZ_CHECK(strcmp(once, twice) == 0);
    free(again.data);
    free(once);
    free(twice);
}

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
    check_normalizing(target, &decoded);
    free(decoded.data);
    uri_check_target("GET", target);
    uri_check_target("CONNECT", target);
    FUZZ_CHECK(!uri_is_host(target, size) || memchr(target, '@', size) == NULL);
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
