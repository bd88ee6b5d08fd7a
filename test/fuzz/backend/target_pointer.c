/*
 * target_pointer.c: JSON Pointers and the resolution of URI references.
 *
 * The first line is a base, the rest is a reference; both are also used as names inside a pointer.
 */
#include "test/fuzz/backend/fuzz.h"

#include "extension/json/pointer.h"
#include "extension/json_schema/uri.h"

/* Names that are put into a pointer must be read from it unchanged. */
static void
check_names(const char *first, const char *second)
{
    StringInfoData pointer;
    StringInfoData name;
    const char *rest;

    initStringInfo(&pointer);
    initStringInfo(&name);
    json_pointer_append(&pointer, first, strlen(first));
    json_pointer_append(&pointer, second, strlen(second));
    rest = pointer.data;
    FUZZ_CHECK(json_pointer_next(&rest, &name));
    FUZZ_CHECK(strcmp(name.data, first) == 0);
    FUZZ_CHECK(json_pointer_next(&rest, &name));
    FUZZ_CHECK(strcmp(name.data, second) == 0);
    FUZZ_CHECK(!json_pointer_next(&rest, &name));
}

static void
check_fragment(const char *pointer)
{
    char *uri = psprintf("urn:x#%s", json_schema_uri_encode_fragment(pointer));
    char *fragment = NULL;

    FUZZ_CHECK(strcmp(json_schema_uri_split(uri, &fragment), "urn:x") == 0);
    FUZZ_CHECK(fragment && strcmp(fragment, pointer) == 0);
}

static void
check_resolution(const char *base, const char *reference)
{
    char *absolute = json_schema_uri_resolve("", base);
    char *resolved = json_schema_uri_resolve(absolute, reference);
    char *fragment;

    json_schema_uri_split(resolved, &fragment);
    FUZZ_CHECK(strcmp(json_schema_uri_resolve("", absolute), absolute) == 0);
    FUZZ_CHECK(strcmp(json_schema_uri_resolve("", resolved), resolved) == 0);
}

static void
check_index(const char *token)
{
    int64 index = json_pointer_index(token);

    if (index >= 0)
        FUZZ_CHECK(strcmp(psprintf(INT64_FORMAT, index), token) == 0);
}

void
fuzz_pointer(const char *data, size_t size)
{
    const char *rest;
    size_t rest_size;
    char *first;
    char *second;

    if (memchr(data, '\0', size) || !fuzz_is_text(data, size))
        return;
    first = fuzz_split(data, size, &rest, &rest_size);
    second = pnstrdup(rest, rest_size);
    check_names(first, second);
    check_fragment(first);
    check_fragment(second);
    check_resolution(first, second);
    check_index(second);
}
