/* db_url.c: checks URLs of databases, and takes them apart; see db_url.h. */
#include "common/db_url.h"

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "common/buf.h"

/* ---- lists of hosts ---------------------------------------------------------- */

static const char *
value_of(const PQconninfoOption *options, const char *keyword)
{
    while (strcmp(options->keyword, keyword) != 0)
        options++;
    return options->val;
}

/* NULL has no elements; "" has one. */
static int
count_elements(const char *list)
{
    int count = list ? 1 : 0;

    for (; list && *list; list++)
        count += *list == ',';
    return count;
}

/* The element with that number, or the only one. */
static void
append_element(const char *list, int number, buf *out)
{
    if (count_elements(list) == 1)
        number = 0;
    for (; number > 0; number--)
        list = strchr(list, ',') + 1;
    buf_append(out, list, strcspn(list, ","));
}

static int
count_hosts(const PQconninfoOption *options)
{
    const char *addresses = value_of(options, "hostaddr");
    int hosts = count_elements(addresses && *addresses ? addresses : value_of(options, "host"));

    return hosts > 0 ? hosts : 1;
}

/* What libpq says only when it connects. */
static bool
has_unequal_lists(const PQconninfoOption *options)
{
    int hosts = count_hosts(options);
    int names = count_elements(value_of(options, "host"));
    int ports = count_elements(value_of(options, "port"));

    return (names > 0 && names != hosts) || (ports > 1 && ports != hosts);
}

static bool
is_list(const char *keyword)
{
    return strcmp(keyword, "host") == 0 || strcmp(keyword, "hostaddr") == 0 ||
           strcmp(keyword, "port") == 0;
}

static void
append_option(const char *keyword, const char *value, buf *out)
{
    buf_printf(out, "%s%s='", out->length > 0 ? " " : "", keyword);
    for (; *value; value++) {
        if (*value == '\'' || *value == '\\')
            buf_append_char(out, '\\');
        buf_append_char(out, *value);
    }
    buf_append_char(out, '\'');
}

static char *
url_of_host(const PQconninfoOption *options, int number)
{
    buf url = BUF_INIT;

    for (const PQconninfoOption *option = options; option->keyword; option++) {
        buf element = BUF_INIT;

        if (!option->val)
            continue;
        if (is_list(option->keyword))
            append_element(option->val, number, &element);
        append_option(option->keyword, is_list(option->keyword) ? buf_text(&element) : option->val,
                      &url);
        buf_free(&element);
    }
    return buf_steal(&url);
}

int
db_url_split(const char *url, char **urls, int max)
{
    PQconninfoOption *options = PQconninfoParse(url, NULL);
    int count = count_hosts(options);

    for (int i = 0; i < count && i < max; i++)
        urls[i] = url_of_host(options, i);
    PQconninfoFree(options);
    return count;
}

/* ---- problems ------------------------------------------------------------------- */

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
    bool is_whole = true, is_unequal = options && has_unequal_lists(options);

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
    if (is_unequal)
        return "has lists of hosts, addresses and ports that are not equally long";
    return NULL;
}
