/*
 * acoustic_login.h: how an access token is asked for at Acoustic: the address, the request, and
 * what may be said of a refusal. The agent fetches its tokens with it; `ctms doctor` tries whether
 * the credentials are right. It sends nothing itself.
 */
#ifndef CTMS_COMMON_ACOUSTIC_LOGIN_H
#define CTMS_COMMON_ACOUSTIC_LOGIN_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"
#include "common/config.h"
#include "common/http_client.h"

/* The address of the API, without a slash at the end. Returns false if CTMS_ACOUSTIC_BASE_URL is
 * too long, or not a URL. */
bool acoustic_login_base_url(const config *settings, char *url, size_t size);

/* Appends the form that is sent to BASE_URL/oauth/token, with ACOUSTIC_LOGIN_HEADER. */
void acoustic_login_body(buf *body, const char *client_id, const char *client_secret,
                         const char *refresh_token);
#define ACOUSTIC_LOGIN_HEADER "Content-Type: application/x-www-form-urlencoded"

/* Makes a text such as "HTTP 400 invalid_client" of an answer that is no success. */
void acoustic_login_refusal(const http_client_answer *answer, char *text, size_t size);

#endif
