/*
 * Forms and Basic credentials: the first line is a header, the rest is a body.
 * uses: rest/http/form.c rest/http/uri.c
 */
#include <string.h>

#include "rest/http/form.h"
#include "test/fuzz/programs/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *newline = size > 0 ? memchr(data, '\n', size) : NULL;
    size_t length = newline ? (size_t)(newline - (const char *)data) : size;
    size_t body_length = newline ? size - length - 1 : 0;
    char *header = malloc(length + 1);
    char *body = malloc(body_length + 1);
    form_field fields[] = {{"client_id", NULL}, {"client_secret", NULL}, {"grant_type", NULL}};
    char *user = NULL, *password = NULL;

    FUZZ_CHECK(header != NULL && body != NULL);
    if (length > 0)
        memcpy(header, data, length);
    header[length] = '\0';
    if (body_length > 0)
        memcpy(body, newline + 1, body_length);
    body[body_length] = '\0';
    if (form_read(header, body, body_length, fields, 3))
        form_free(fields, 3);
    else
        FUZZ_CHECK(!fields[0].value && !fields[1].value && !fields[2].value);
    if (form_read_basic(header, &user, &password)) {
        FUZZ_CHECK(user != NULL && password != NULL);
        free(user);
        free(password);
    }
    free(header);
    free(body);
    return 0;
}
