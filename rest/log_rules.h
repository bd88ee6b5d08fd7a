/*
 * log_rules.h: what of the texts that a caller sends may be in the log. Addresses, secrets and
 * tokens may be anywhere in them. access_log.c and exchange.c ask.
 */
#ifndef CTMS_REST_LOG_RULES_H
#define CTMS_REST_LOG_RULES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "rest/http/http.h"

/* Stands for what is not shown. */
#define LOG_OMITTED "[OMITTED]"

/* True if an at sign is in the text, in any of the ways to encode one. */
bool log_rules_may_hold_address(const char *text, size_t length);

/* An identifier that may be shown: letters, digits and "_.:-", not many of them. */
bool log_rules_is_identifier(const char *text, size_t length);

/* The text of value if it is an identifier, else LOG_OMITTED. */
const char *log_rules_shown_identifier(const json_t *value);

/* A path that no route has: shown only if its segments are words, too short for a secret. */
bool log_rules_is_plain_path(const char *path, size_t length);

/* The method, or LOG_OMITTED if HTTP does not have it. */
const char *log_rules_method(const http_request *request);

typedef enum log_rules_header {
    LOG_HEADER_UNKNOWN, /* not even the name is shown: secrets are sent as names, too */
    LOG_HEADER_SECRET,  /* the value is not shown */
    LOG_HEADER_TYPE,    /* the value is a media type, whose parameters are not shown */
    LOG_HEADER_ID,      /* the value is shown if it became the id of the request */
    LOG_HEADER_SHOWN,
} log_rules_header;

/* name in any case; *shown is how the log calls it, valid unless LOG_HEADER_UNKNOWN is returned. */
log_rules_header log_rules_find_header(const char *name, const char **shown);

/*
 * A copy of value in which texts that are not identifiers are LOG_OMITTED, except for the members
 * "message", which are the database's own words. They are omitted if they may hold an address.
 * are_own: all of them are such words.
 */
json_t *log_rules_hide_texts(const json_t *value, bool are_own);

#endif
