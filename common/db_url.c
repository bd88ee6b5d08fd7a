/* db_url.c: checks URLs of databases; see db_url.h. */
#include "common/db_url.h"

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Only the folder of a socket may have an "@", and a name of a socket begin with one. */
static bool
has_wrong_host(const char *hosts)
{
    for (const char *host = hosts; host && *host; host += *host == ',') {
        size_t length = strcspn(host, ",");

        if (*host != '/' && length > 1 && memchr(host + 1, '@', length - 1))
            return true;
        host += length;
    }
    return false;
}

/* A part of a URL that can only be there because another part was not written as it must be. */
static bool
is_misplaced(const PQconninfoOption *option)
{
    if (!option->val)
        return false;
    if (strcmp(option->keyword, "host") == 0)
        return has_wrong_host(option->val);
    return strcmp(option->keyword, "port") == 0 &&
           option->val[strspn(option->val, "0123456789,")] != '\0';
}

const char *
db_url_problem(const char *url)
{
    PQconninfoOption *options = PQconninfoParse(url, NULL);
    bool is_whole = true;

    for (PQconninfoOption *option = options; option && option->keyword; option++)
        is_whole = is_whole && !is_misplaced(option);
    PQconninfoFree(options);
    if (!*url)
        return "is empty";
    if (!options)
        return "is not one that libpq can read: a URI, with %25 for \"%\" in a password, or "
               "keywords, as in host=… password='…'";
    if (!is_whole)
        return "has a wrong host or port: write %40 for \"@\" in a password, %2F for \"/\"";
    return NULL;
}
