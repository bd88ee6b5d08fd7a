/* acoustic_login.c: how an access token is asked for at Acoustic; see acoustic_login.h. */
#include "common/acoustic_login.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>
#include <jansson.h>

/* Asks libcurl, which will use the URL. */
static bool
is_url(const char *text)
{
    CURLU *url = curl_url();
    bool is_valid = url != NULL && curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK;

    curl_url_cleanup(url);
    return is_valid;
}

bool
acoustic_login_base_url(const config *settings, char *url, size_t size)
{
    const char *given = config_string(settings, "CTMS_ACOUSTIC_BASE_URL");
    int length;

    if (given != NULL)
        length = snprintf(url, size, "%s", given);
    else
        length = snprintf(url, size, "https://api-campaign-us-%lld.goacoustic.com",
                          config_int(settings, "CTMS_ACOUSTIC_SERVER_NUMBER"));
    if (length >= (int)size)
        return false;
    while (length > 0 && url[length - 1] == '/')
        url[--length] = '\0';
    return is_url(url);
}

static void
append_field(buf *body, const char *name, const char *value)
{
    char *escaped = curl_easy_escape(NULL, value, 0);

    if (escaped == NULL)
        abort();
    buf_printf(body, "%s%s=%s", body->length > 0 ? "&" : "", name, escaped);
    curl_free(escaped);
}

void
acoustic_login_body(buf *body, const char *client_id, const char *client_secret,
                    const char *refresh_token)
{
    append_field(body, "grant_type", "refresh_token");
    append_field(body, "client_id", client_id);
    append_field(body, "client_secret", client_secret);
    append_field(body, "refresh_token", refresh_token);
}

/* Only known words are used, because the rest of an answer may repeat secrets. */
void
acoustic_login_refusal(const http_client_answer *answer, char *text, size_t size)
{
    static const char *const known[] = {"invalid_client", "invalid_grant", "invalid_request",
                                        "unauthorized_client", "unsupported_grant_type"};
    json_t *object = json_loadb(answer->body, answer->length, 0, NULL);
    const char *error = json_string_value(json_object_get(object, "error"));
    const char *word = "";

    for (size_t i = 0; error != NULL && i < sizeof(known) / sizeof(*known); i++) {
        if (strcmp(error, known[i]) == 0)
            word = known[i];
    }
    snprintf(text, size, "HTTP %d%s%s", answer->status, *word ? " " : "", word);
    json_decref(object);
}
